"""AWS STS: moto's, with corrections."""
