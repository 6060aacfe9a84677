"""Who spent it: keys and accounts to person, team and cost centre."""
