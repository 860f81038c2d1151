"""Service Quotas: moto's, with corrections."""
