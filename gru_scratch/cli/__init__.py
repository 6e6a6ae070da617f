"""The commands: each reads its options, calls the rooms below, and prints; nothing below prints or parses."""
