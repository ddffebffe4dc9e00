"""Whole pieces of work: profile, learn a new device, train, search, export.

Each flow is a function with one frozen, validated settings object and a workspace in, one result
out; it reports by events (`elasticvit.events`) and prints nothing. The commands are thin shells
around these, and so is the library (`import elasticvit`).
"""
