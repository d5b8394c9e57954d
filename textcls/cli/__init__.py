"""The `textcls` command: one file a command."""
