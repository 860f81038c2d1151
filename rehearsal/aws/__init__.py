"""AWS emulated on one machine; knows nothing of Airflow."""
