"""The command line: parsing, running, exit codes."""
