"""Elastic Load Balancing, version 2: moto's, with corrections."""
