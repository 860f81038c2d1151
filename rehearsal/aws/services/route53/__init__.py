"""Amazon Route 53: moto's, with corrections."""
