"""Worker pools: the settings in AIRKILN_POOLS, and what a worker derives from them."""
