# Exact versions; tools/ builds the same ones from source. Ansible is run by Packer's own shell-local provisioner
# (see provision.sh), so the Amazon plugin is the only one.
packer {
  required_version = ">= 1.14.0, < 2.0.0"

  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = "= 1.8.0"
    }
  }
}
