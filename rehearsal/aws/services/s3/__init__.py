"""Amazon S3: moto's, with corrections."""
