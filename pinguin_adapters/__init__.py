"""What the core calls: a store and two senders, each a package of its own with its own extra."""
