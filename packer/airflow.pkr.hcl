# One private, encrypted image that carries every role of Airflow:
#   packer init packer/ && packer build -var commit=$(git rev-parse HEAD) packer/

locals {
  # In UTC, once for the whole bake.
  baked_at = timestamp()

  name = join("-", [
    "airkiln", var.airkiln_version,
    "airflow", var.airflow_version,
    var.architecture,
    formatdate("YYYYMMDDhhmmss", local.baked_at),
  ])

  # On the build instance and its volume, key pair and security group, and on the image and its snapshot.
  # Without airkiln:role and airkiln:environment: those give a running instance its work.
  tags = merge(var.tags, {
    "Name"                    = local.name
    "airkiln:version"         = var.airkiln_version
    "airkiln:airflow-version" = var.airflow_version
    "airkiln:architecture"    = var.architecture
    "airkiln:commit"          = var.commit
    "airkiln:source-ami"      = "{{ .SourceAMI }}"
    "airkiln:source-ami-name" = "{{ .SourceAMIName }}"
  })
}

source "amazon-ebs" "airflow" {
  region        = var.region
  instance_type = var.instance_type[var.architecture]

  source_ami_filter {
    owners      = [var.source_ami_owner]
    most_recent = true

    filters = {
      name                = var.source_ami_name[var.architecture]
      architecture        = var.architecture == "amd64" ? "x86_64" : "arm64"
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
  }

  # The build instance
  subnet_id                   = var.subnet_id
  associate_public_ip_address = var.associate_public_ip_address
  iam_instance_profile        = var.iam_instance_profile
  user_data_file              = var.user_data_file

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  aws_polling {
    delay_seconds = var.poll_seconds
    max_attempts  = ceil(3600 / var.poll_seconds)
  }

  # Encrypted from the first block on, so that neither an unencrypted snapshot nor a second copy is ever made.
  launch_block_device_mappings {
    device_name           = var.root_device_name
    volume_type           = "gp3"
    volume_size           = var.volume_size
    encrypted             = true
    kms_key_id            = var.kms_key_id
    delete_on_termination = true
  }

  # The way in, for as long as the bake takes
  communicator                              = "ssh"
  ssh_username                              = var.ssh_username
  ssh_interface                             = var.ssh_interface
  ssh_timeout                               = var.ssh_timeout
  temporary_key_pair_type                   = "ed25519"
  temporary_security_group_source_cidrs     = var.ssh_source_cidrs
  temporary_security_group_source_public_ip = length(var.ssh_source_cidrs) == 0 && var.ssh_interface != "session_manager"

  # The image: nobody but the account may launch it, and what is launched from it answers IMDSv2 only.
  ami_name              = local.name
  ami_description       = "Apache Airflow ${var.airflow_version} on Debian 13, baked by Airkiln ${var.airkiln_version}"
  ami_users             = []
  ami_groups            = []
  imds_support          = "v2.0"
  deprecate_at          = timeadd(local.baked_at, "${var.deprecate_after_days * 24}h")
  force_deregister      = false
  force_delete_snapshot = false

  tags            = local.tags
  run_tags        = local.tags
  run_volume_tags = local.tags
  snapshot_tags   = local.tags
}

build {
  name    = "airkiln"
  sources = ["source.amazon-ebs.airflow"]

  # The temporary private key goes in on standard input: it stands on no command line and in no environment. Packer
  # writes these lines to a script, whose first command therefore removes it; the shell reads on from the open file.
  provisioner "shell-local" {
    env = {
      AIRKILN_HOST = build.Host
      AIRKILN_PORT = build.Port
      AIRKILN_USER = build.User
      AIRKILN_EXTRA_VARS = jsonencode({
        airflow_version      = var.airflow_version
        airkiln_version      = var.airkiln_version
        airkiln_commit       = var.commit
        airkiln_source_ami   = build.SourceAMI
        airkiln_architecture = var.architecture
        airkiln_built_at     = local.baked_at
      })
    }

    inline = [
      "rm -f -- \"$0\"",
      join(" ", concat(
        ["exec"],
        [for word in concat(
          ["${abspath(path.root)}/provision.sh", var.ansible_playbook_command], var.ansible_extra_arguments
        ) : "'${replace(word, "'", "'\\''")}'"],
        ["<<'KEY'\n${build.SSHPrivateKey}\nKEY"],
      )),
    ]
  }

  post-processor "manifest" {
    output = var.manifest_path

    custom_data = {
      name            = local.name
      airkiln_version = var.airkiln_version
      airflow_version = var.airflow_version
      architecture    = var.architecture
      commit          = var.commit
      source_ami      = build.SourceAMI
      source_ami_name = build.SourceAMIName
    }
  }
}
