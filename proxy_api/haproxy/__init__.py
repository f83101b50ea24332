"""HAProxy from outside: its files, its check, its sockets, its reload."""
