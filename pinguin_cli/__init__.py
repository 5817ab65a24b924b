"""The command line: settings, logs, the service's composition, the sandbox and the commands."""
