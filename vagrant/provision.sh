#!/usr/bin/env bash
# Makes a Debian 12 machine a part of the cluster; run it as root, as often as you like.
#
#   provision.sh proxy|node NAME ADDRESS CONSUL_ADDRESS
#
# `proxy` gets Consul and proxy-api, `node` gets Docker and a registrar. SOURCE is the checkout (default /portbook).
set -euo pipefail

role=${1:?proxy or node}
name=${2:?the name of this machine}
address=${3:?the address of this machine}
consul=${4:?the address of Consul}
source=${SOURCE:-/portbook}
home=/opt/portbook

packages=(ca-certificates python3-venv)
case $role in
    proxy) packages+=(haproxy) ;;
    node) packages+=(docker.io iptables) ;;
    *)
        echo "provision: the role is proxy or node, not '$role'" >&2
        exit 2
        ;;
esac
export DEBIAN_FRONTEND=noninteractive
apt-get -q update
apt-get -q -y install --no-install-recommends "${packages[@]}"

[ -x $home/bin/pip ] || python3 -m venv $home
$home/bin/pip install --quiet --require-hashes -r "$source/requirements.txt"
$home/bin/pip install --quiet --no-deps --no-build-isolation --use-pep517 --force-reinstall "$source"

# unit NAME DESCRIPTION COMMAND [Environment=...]: a service that is started now and at boot. Without systemd, as in a
# container, only the command is printed.
unit() {
    if [ ! -d /run/systemd/system ]; then
        echo "no systemd here; start $1 so: $3"
        return
    fi
    cat >"/etc/systemd/system/$1.service" <<UNIT
[Unit]
Description=$2
After=network-online.target docker.service
Wants=network-online.target

[Service]
ExecStart=$3
${4:-}
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
UNIT
    systemctl daemon-reload
    systemctl enable --quiet "$1"
    systemctl restart "$1"
}

if [ "$role" = proxy ]; then
    consul_bin=$(command -v consul || echo /usr/local/bin/consul)
    [ -x "$consul_bin" ] || bash "$source/deploy/fetch-consul.sh" "${consul_bin%/*}"
    # The package's own HAProxy would only be in the way: proxy-api runs one itself.
    [ ! -d /run/systemd/system ] || systemctl disable --quiet --now haproxy
    mkdir -p /var/lib/consul /cfg /certs /consul_templates
    unit consul "Consul" "$consul_bin agent -server -bootstrap-expect=1 -node=$name -bind=$address -client=0.0.0.0 -data-dir=/var/lib/consul"
    unit proxy-api "Portbook's proxy-api" "$home/bin/proxy-api serve" \
        "Environment=CONSUL_ADDRESS=$consul:8500 PROXY_INSTANCE_NAME=docker-flow"
else
    unit registrar "Portbook's registrar" "$home/bin/registrar --node-id $name -ip $address consul://$consul:8500"
fi
