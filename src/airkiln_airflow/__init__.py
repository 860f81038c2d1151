"""The part of Airkiln that runs inside Airflow's own Python environment."""
