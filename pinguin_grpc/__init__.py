"""Pinguin's gRPC edge: the server around the core, and the client for those who call it."""
