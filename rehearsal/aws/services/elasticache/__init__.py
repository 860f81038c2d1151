"""Amazon ElastiCache: moto's, with corrections."""
