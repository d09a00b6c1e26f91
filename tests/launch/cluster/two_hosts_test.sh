#!/usr/bin/env bash
# Two hosts as network namespaces of this machine, and mpirun with a hostfile between them: by ssh where there is an sshd,
# else by an agent of our own. Needs root; ends with 77, and says why, where it cannot run. Argument: the program.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
program=$(readlink -f "$1")

skip() { echo "two_hosts_test: skipped: $*"; exit 77; }
[[ $(id -u) == 0 ]] || skip "namespaces need root"
for need in ip nsenter unshare mpirun; do command -v "$need" >/dev/null || skip "no $need"; done
folder=$(mktemp -d /tmp/interlock-hosts-XXXXXX)
on() { "$here/two_nodes" on "$folder/net" "$@"; }
finish() {
  for file in "$folder"/sshd-*.pid; do [[ ! -s $file ]] || kill "$(cat "$file")" 2>/dev/null || true; done
  "$here/two_nodes" down "$folder/net" >/dev/null 2>&1 || true
  rm -rf "$folder"
}
trap finish EXIT
"$here/two_nodes" hosts "$folder/net" 2>"$folder/problem" || skip "no namespaces: $(tail -n 1 "$folder/problem")"
cd "$folder"

mkdir corpus
for number in 1 2 3 4 5 6; do
  for line in $(seq 100); do echo "line $line of $number: alpha beta gamma $((line * number % 97))"; done >"corpus/$number.txt"
done
cat >config.toml <<END
[model]
layers = 4
width = 16
heads = 2
feed_forward = 32
max_length = 32
[data]
paths = ["$folder/corpus"]
sequence_length = 32
held_out = 0.3
[parallel]
stages = 4
ranks = 4
[run]
steps = 4
evaluate_every = 2
evaluate_sequences = 8
END
printf 'node1 slots=2\nnode2 slots=2\n' >hostfile

# What stands between the hosts: `agent HOST COMMAND ...` runs it there, as mpirun asks.
if command -v sshd >/dev/null && command -v ssh-keygen >/dev/null; then
  way=ssh
  ssh-keygen -q -t ed25519 -N '' -f key
  ssh-keygen -q -t ed25519 -N '' -f host_key
  cp key.pub authorized_keys
  mkdir -p /run/sshd
  for node in 1 2; do
    printf '%s\n' "Port 22" "ListenAddress 10.77.0.$node" "HostKey $folder/host_key" "PidFile $folder/sshd-$node.pid" \
      "AuthorizedKeysFile $folder/authorized_keys" "StrictModes no" "PasswordAuthentication no" "UsePAM no" \
      "PermitRootLogin yes" >"sshd-$node.conf"
    on "$node" "$(command -v sshd)" -f "$folder/sshd-$node.conf" -E "$folder/sshd-$node.log"
  done
  printf '%s\n' "IdentityFile $folder/key" "StrictHostKeyChecking no" "UserKnownHostsFile /dev/null" "LogLevel ERROR" >ssh_config
  export OMPI_MCA_plm_rsh_agent="ssh -F $folder/ssh_config"
else
  way="an agent of our own"
  printf '#!/bin/sh\nhost=$1; shift\nexec %s on %s "${host#node}" sh -c "$*"\n' "$here/two_nodes" "$folder/net" >agent
  chmod +x agent
  export OMPI_MCA_plm_rsh_agent=$folder/agent
fi

fail() {
  echo "two_hosts_test: $*" >&2
  tail -n 30 log | cut -c1-300 >&2
  exit 1
}
says() { grep -Eq -- "$1" log || fail "does not say: $1"; }
expect() { [[ $2 == "$3" ]] || fail "$1 is '$2', expected '$3'"; }
step() { code=0; on 1 timeout -k 3 100 "$@" >log 2>&1 || code=$?; }
hosts=(mpirun --allow-run-as-root --hostfile hostfile -np 4 --bind-to none --mca btl_tcp_if_include 10.77.0.0/24
  --mca oob_tcp_if_include 10.77.0.0/24)
digest() { "$program" inspect "$1" --json | tail -n 1 | sed 's/.*"digest":"\([0-9a-f]*\)".*/\1/'; }

step "$program" doctor --hostfile hostfile
says '^ok +host node1 +10.77.0.1$'
says '^ok +host node2 +10.77.0.2, .* gets in$'

step "${hosts[@]}" "$program" doctor --cluster config.toml --json
expect "exit code of doctor --cluster" "$code" 0
says '"name":"node1".*"ranks":\[0,1\].*"name":"node2".*"ranks":\[2,3\]'
says '"from":1,"latency_us":[0-9.]+,"mib_per_second":[0-9.]+,"to":2'

step "${hosts[@]}" "$program" train config.toml --set run.folder=hosts
expect "exit code" "$code" 0
step "$program" train config.toml --set run.folder=threads --set parallel.transport=loopback
expect "exit code" "$code" 0
expect "digest" "$(digest hosts)" "$(digest threads)"

step "${hosts[@]}" sh -c "[ \$(hostname) = node1 ] && config=config.toml || config=absent.toml
  exec $program train \$config --set run.folder=missing"
expect "exit code with a config that node2 lacks" "$code" 64
says 'rank 2 on node2: cannot read the config file absent.toml'
expect "the number of errors told" "$(grep -c 'interlock: error:' log)" 1

# A launcher whose ranks are on other hosts, as in a pod of Kubernetes: it cannot look at them, and they are asked all the
# same.
printf 'node2 slots=4\n' >elsewhere
on 1 env OMPI_MCA_orte_default_hostfile="$folder/elsewhere" OMPI_MCA_btl_tcp_if_include=10.77.0.0/24 \
  OMPI_MCA_oob_tcp_if_include=10.77.0.0/24 timeout -k 3 100 "$program" train config.toml --set run.folder=stopped \
  --set run.steps=1000000 --set run.evaluate_every=0 >log 2>&1 &
started=$!
for ((waited = 0; waited < 200; ++waited)); do [[ ! -s stopped/metrics.jsonl ]] || break; sleep 0.2; done
kill -TERM "$(pgrep -f "^$program train .*run.folder=stopped" | head -n 1)"
code=0
wait "$started" || code=$?
expect "exit code of a launcher that is asked to stop" "$code" 75
says 'stopped on request'
ls stopped/checkpoints/step-* >/dev/null 2>&1 || fail "no checkpoint"

# Open MPI 4 crashes on such a name: told before it does.
if mpirun --version | grep -q '(Open MPI) 4\.'; then
  code=0
  unshare --uts sh -c "hostname $(printf 'h%.0s' {1..60}); exec $program train config.toml --set run.folder=long" >log 2>&1 || code=$?
  expect "exit code on a host with too long a name" "$code" 64
  says 'has 60 letters, and Open MPI 4 crashes'
fi

if [[ $way == ssh ]]; then
  : >authorized_keys
  step "$program" doctor --hostfile hostfile
  expect "exit code of doctor where ssh is refused" "$code" 70
  says '^fail +host node2 .*Permission denied'
fi
echo "two_hosts_test: passed, over $way"
