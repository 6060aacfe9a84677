"""One module per `ps_type`: its path below here is its name, and nothing is registered."""
