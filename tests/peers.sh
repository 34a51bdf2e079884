#!/usr/bin/env bash
# Unpacks Prometheus, promtool, Alertmanager, amtool and node_exporter of Debian's unstable suite into a folder, without installing
# them: peers.sh FOLDER. The stable suites carry versions that are years old. The mirror is the one this machine's apt already uses.
set -euo pipefail
folder=${1:?usage: peers.sh FOLDER}
programs=(prometheus promtool prometheus-alertmanager amtool prometheus-node-exporter)
complete=yes
for program in "${programs[@]}"; do [ -x "$folder/usr/bin/$program" ] || complete=no; done
if [ $complete = yes ]; then exit 0; fi

mirror=$(
  { grep -rhE '^URIs:' /etc/apt/sources.list.d/ 2>/dev/null | awk '{print $2}'
    grep -rhE '^deb ' /etc/apt/sources.list /etc/apt/sources.list.d/ 2>/dev/null | grep -oE 'https?://[^ ]+'
  } | sed 's:/*$::' | grep -E '/debian$' | head -n 1
) || true
if [ -z "$mirror" ] || ! command -v apt-get >/dev/null; then
  echo "no Debian mirror in the apt sources; put these programs into $folder/usr/bin yourself: ${programs[*]}" >&2
  exit 1
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial" "$folder"
echo "deb [trusted=yes] $mirror sid main" >"$scratch/sources.list"
apt=(apt-get -qq
  -o "Dir::Etc::SourceList=$scratch/sources.list" -o Dir::Etc::SourceParts=/dev/null
  -o "Dir::State::Lists=$scratch/lists" -o "Dir::Cache=$scratch/cache" -o APT::Sandbox::User=)
"${apt[@]}" update
(cd "$scratch" && "${apt[@]}" download prometheus promtool prometheus-alertmanager prometheus-node-exporter)
for package in "$scratch"/*.deb; do dpkg -x "$package" "$folder"; done
for program in "${programs[@]}"; do
  [ -x "$folder/usr/bin/$program" ] || { echo "$program is in none of the packages" >&2; exit 1; }
done
