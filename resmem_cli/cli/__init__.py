"""The command line: parse, one call, print. The only room that knows Typer, Rich and exit codes."""
