"""The configuration: values, schema, checking, writing, and its devices against those that were found."""
