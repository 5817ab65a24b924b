"""What an application or an adapter needs to test itself against Pinguin's promises."""
