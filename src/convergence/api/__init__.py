"""The HTTP API: thin routes over the services, one gate, one table of problems."""
