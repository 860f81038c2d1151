"""Amazon RDS: moto's, with corrections."""
