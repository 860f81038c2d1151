# Every pin of a release. Packer reads this file by itself; the plugin's version is in plugins.pkr.hcl, where
# Packer wants a literal, and Airflow's own requirements are locked in roles/airflow/files/.
airkiln_version = "0.1.0"
airflow_version = "3.3.2"

# Debian's own account, https://wiki.debian.org/Cloud/AmazonEC2Image. Its release images carry the date in their name
# (daily ones are another account's). The name and id that a bake used are in the image's tags: to repeat a bake, put that name here.
source_ami_owner = "136693071363"
source_ami_name = {
  amd64 = "debian-13-amd64-2*"
  arm64 = "debian-13-arm64-2*"
}
root_device_name = "/dev/xvda"
ssh_username     = "admin"

instance_type = {
  amd64 = "m7i.large"
  arm64 = "m7g.large"
}
