"""The command line: one file a command; it parses, calls one library function, prints."""

from textcls.cli.app import app, main

__all__ = ["app", "main"]
