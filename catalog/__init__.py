"""What registrar and proxy-api share: the words of the catalog, and the one door to Consul."""
