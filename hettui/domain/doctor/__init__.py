"""What may be wrong with a machine: facts of it in, findings with their remedies out. Nothing is looked at here."""
