#!/usr/bin/env bash
# launch/cluster on a real Slurm of two nodes: every row of its README that needs no second machine. Needs root and what
# two_nodes names; ends with 77, and says why, where it cannot run. Arguments: the program, the folder of the scripts; then
# the names of rows to run, all by default.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
program=$(readlink -f "$1") scripts=$(readlink -f "$2")
shift 2

skip() { echo "slurm_two_nodes_test: skipped: $*"; exit 77; }
[[ $(id -u) == 0 ]] || skip "namespaces and slurmd need root"
for need in slurmctld slurmd munged srun ip nsenter mpirun; do
  command -v "$need" >/dev/null || skip "no $need (Debian: slurm-wlm slurm-wlm-basic-plugins munge iproute2 openmpi-bin)"
done
ip netns add "il-probe-$$" 2>/dev/null || skip "no right to make a network namespace"
ip netns del "il-probe-$$"

folder=$(mktemp -d /tmp/interlock-slurm-XXXXXX)
chmod 0755 "$folder"  # munge has a user of its own
finish() {
  on 1 scancel -u root >/dev/null 2>&1 || true
  sleep 1
  "$here/two_nodes" down "$folder/slurm" >/dev/null 2>&1 || true
  rm -rf "$folder"
}
on() { "$here/two_nodes" on "$folder/slurm" "$@"; }
trap finish EXIT
"$here/two_nodes" up "$folder/slurm" 8 >"$folder/up.log" 2>&1 || { cat "$folder/up.log"; skip "the cluster did not start"; }
on 1 srun --mpi=list 2>&1 | grep -q pmix || skip "this Slurm has no PMIx plugin"

cd "$folder"
export INTERLOCK=$program
mkdir corpus
for number in 1 2 3 4 5 6; do
  for line in $(seq 200); do echo "line $line of $number: alpha beta gamma $((line * number % 97))"; done >"corpus/$number.txt"
done
cat >config.toml <<END
[model]
layers = 4
width = 32
heads = 2
feed_forward = 64
max_length = 64
[data]
paths = ["$folder/corpus"]
sequence_length = 64
held_out = 0.3
[parallel]
stages = 4
ranks = 4
microbatches = 4
microbatch_size = 2
[run]
steps = 600
seed = 1
evaluate_every = 0
[checkpoint]
every = 200
END

failures=0
row=''
fail() {
  echo "slurm_two_nodes_test: $row: $*" >&2
  [[ ! -e $row.log ]] || tail -n 30 "$row.log" | cut -c1-300 >&2
  failures=$((failures + 1))
  return 1
}
expect() { [[ $2 == "$3" ]] || fail "$1 is '$2', expected '$3'"; }
says() { grep -Eq -- "$1" "$row.log" || fail "does not say: $1"; }
says_once() {
  local times
  times=$(grep -c 'interlock: error:' "$row.log" || true)
  expect "the number of errors told" "$times" 1 && says "$1"
}
# Runs a command on node 1 with a limit; its exit code comes into `code`, what it took into `seconds`, its words into the log.
step() {
  local start=$SECONDS
  code=0
  on 1 timeout -k 3 120 "$@" >"$row.log" 2>&1 || code=$?
  seconds=$((SECONDS - start))
}
submit() { job=$(on 1 sbatch --parsable --output="$row.log" --ntasks-per-node=2 --cpus-per-task=1 "$@"); }
field() { on 1 scontrol show job -o "$job" | tr ' ' '\n' | sed -n "s/^$1=//p" | head -n 1; }
wait_until() {  # SECONDS COMMAND...
  local limit=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < limit)) || { fail "waited in vain for: $*"; return 1; }
    sleep 0.5
  done
}
state_is() { [[ $(field JobState) == "$1" ]]; }
restarted() { (($(field Restarts) > 0)); }
newest() { (cd "$1/checkpoints" 2>/dev/null && ls -d step-*) | tail -n 1; }
went_on() { [[ $(newest "$1") > $2 ]]; }  # beyond the checkpoint $2
trained() { [[ -e $1/metrics.jsonl ]] && (($(wc -l <"$1/metrics.jsonl") >= 20)); }
# A requeued job waits for two minutes by default; its first step has the number of the one that has just ended, whose
# traces on the nodes must be gone.
start_again() { sleep 5; on 1 scontrol update "job=$job" starttime=now; }
digest() { "$program" inspect "$1" --json | tail -n 1 | sed 's/.*"digest":"\([0-9a-f]*\)".*/\1/'; }
train() { echo "$program" train config.toml --set "run.folder=$row" "$@"; }
pmix=(srun --mpi=pmix -N2 -n4 --ntasks-per-node=2 --kill-on-bad-exit=1)

# ---- srun

row_srun() {  # what README says; the others' digests are held against this one
  step "${pmix[@]}" $(train)
  expect "exit code" "$code" 0
  undisturbed=$(digest srun)
}
row_usr1() {
  on 1 timeout -k 3 120 "${pmix[@]}" $(train) >usr1.log 2>&1 &
  wait_until 60 trained usr1
  job=$(on 1 squeue -h -o %A -n "$(basename "$program")" | tail -n 1)
  on 1 scancel --signal=USR1 "$job"
  code=0
  wait $! || code=$?
  expect "exit code" "$code" 75
  step "${pmix[@]}" $(train --resume)
  expect "exit code of the rest" "$code" 0
  expect "digest" "$(digest usr1)" "$undisturbed"
}
row_killed_rank() {
  on 1 timeout -k 3 120 "${pmix[@]}" $(train) >killed_rank.log 2>&1 &
  wait_until 60 trained killed_rank
  local start=$SECONDS
  kill -KILL "$(pgrep -f "^$program train.*run.folder=killed_rank" | tail -n 1)"
  code=0
  wait $! || code=$?
  ((code != 0 && code != 124)) || fail "exit code $code"
  ((SECONDS - start <= 10)) || fail "took $((SECONDS - start)) s to end"
  says 'Killed'
}
row_missing_file() {  # on node 2 alone
  step "${pmix[@]}" bash -c "[ \$SLURM_NODEID = 0 ] && config=config.toml || config=absent.toml
    exec $program train \$config --set run.folder=missing_file"
  expect "exit code" "$code" 64
  says_once 'rank 2 on node2: cannot read the config file absent.toml.*2 of 4 ranks'
  ((seconds <= 10)) || fail "took $seconds s"
}
row_missing_file_plain() {  # README's srun, which ends tasks only when all have
  step srun --mpi=pmix -N2 -n4 bash -c "[ \$SLURM_PROCID = 0 ] && config=absent.toml || config=config.toml
    exec $program train \$config --set run.folder=missing_file"
  expect "exit code" "$code" 64
  says_once 'rank 0 on node1: cannot read the config file absent.toml'
  ((seconds <= 10)) || fail "took $seconds s"
}
# What lies on node 1 alone: /proc/self/cwd is a folder of its own on each.
elsewhere() { echo "[ \$SLURM_NODEID = 0 ] || { mkdir -p elsewhere; cd elsewhere; }; exec $program train $PWD/config.toml $*"; }
row_missing_weights() {
  step "${pmix[@]}" bash -c "$(elsewhere --set run.folder="$PWD/missing_weights" \
    --set run.weights=/proc/self/cwd/srun/weights.safetensors)"
  expect "exit code" "$code" 65
  says_once 'rank 2 on node2: no weights .*/proc/self/cwd/srun/weights.safetensors .2 of 4 ranks'
  ((seconds <= 10)) || fail "took $seconds s"
}
row_missing_folder() {
  step "${pmix[@]}" bash -c "$(elsewhere --set run.folder=/proc/self/cwd/missing_folder)"
  expect "exit code" "$code" 73
  says_once 'rank 2 on node2: /proc/self/cwd/missing_folder: the run folder, which rank 0 has made, is not seen here'
  ((seconds <= 10)) || fail "took $seconds s"
}
row_bad_config() {
  step "${pmix[@]}" $(train --set model.layerz=1)
  expect "exit code" "$code" 64
  says_once 'unknown key'
  ((seconds <= 10)) || fail "took $seconds s"
}
row_no_pmix() {
  for mpi in '' --mpi=none --mpi=pmi2; do
    step srun $mpi -N2 -n4 $(train)
    expect "exit code of srun $mpi" "$code" 64
    says_once 'use `srun --mpi=pmix`'
    ! grep -q 'PMI\b.*support\|orte_init\|MPI_Init' "$row.log" || fail "Open MPI was started"
  done
  step srun -n1 $(train --set parallel.ranks=1 --set run.steps=2)
  expect "exit code of a single rank" "$code" 0
  step srun -n1 "$program" doctor
  expect "exit code of doctor" "$code" 70
  says 'fail +mpi .*use `srun --mpi=pmix`'
}
row_one_task() {
  step srun -n1 -c4 $(train)
  expect "exit code" "$code" 64
  says_once 'salloc'
}
row_slots() {
  step salloc --ntasks=1 --cpus-per-task=4 $(train --set run.steps=20)
  expect "exit code" "$code" 0
}
row_mpich() {
  command -v mpirun.mpich >/dev/null || { echo "no mpirun.mpich here: not tried"; return 0; }
  step salloc -N1 --ntasks=4 mpirun.mpich -n 4 $(train)
  expect "exit code" "$code" 64
  says_once 'launcher of MPICH'
}

row_doctor_cluster() {
  step "${pmix[@]}" "$program" doctor --cluster config.toml --json
  expect "exit code" "$code" 0
  says '"from":2,"latency_us":[0-9.]+,"mib_per_second":[0-9.]+,"to":3'
  says '"name":"node1".*"ranks":\[0,1\].*"name":"node2".*"ranks":\[2,3\]'
  says '"name":"run folder","status":"ok"'
  step srun -N2 -n4 "$program" doctor --cluster config.toml
  expect "exit code without PMIx" "$code" 64
  says_once 'use `srun --mpi=pmix`'
}

# ---- sbatch

row_requeue() {
  submit --nodes=2 "$scripts/slurm.sbatch" config.toml --set run.folder=requeue
  wait_until 60 trained requeue
  on 1 scancel --signal=USR1 "$job"
  wait_until 30 restarted
  says 'stopped, with a checkpoint; back into the queue'
  start_again
  wait_until 90 state_is COMPLETED
  expect "digest" "$(digest requeue)" "$undisturbed"
}
row_array() {
  submit --nodes=1 --ntasks-per-node=4 --array=1-2 "$scripts/slurm.sbatch" config.toml --set run.folder=array-%a
  local array=$job
  wait_until 60 trained array-1
  wait_until 60 trained array-2
  on 1 scancel --signal=USR1 "${array}_2"  # whose SLURM_JOB_ID is the array's
  job=${array}_2
  wait_until 30 restarted
  job=${array}_1
  expect "restarts of the neighbour" "$(field Restarts)" 0
  wait_until 90 state_is COMPLETED
  job=${array}_2
  start_again
  wait_until 90 state_is COMPLETED
  for task in 1 2; do expect "digest of task $task" "$(digest array-$task)" "$undisturbed"; done
}
# Ended by a signal, and stopped as by a machine that hangs: the job goes on in its place.
row_lost_rank() {
  submit --nodes=2 "$scripts/slurm.sbatch" config.toml --set run.folder=lost_rank --set monitor.stall_seconds=4 \
    --set checkpoint.every=50
  wait_until 60 went_on lost_rank ''
  kill -KILL "$(pgrep -f "^$program train.*run.folder=lost_rank" | tail -n 1)"
  wait_until 60 grep -q 'again from the newest checkpoint in 1 s, 5 left' lost_rank.log
  # Ranks that only load are given longer than those that train.
  wait_until 90 went_on lost_rank "$(newest lost_rank)"
  kill -STOP "$(pgrep -f "^$program train.*run.folder=lost_rank" | tail -n 1)"
  wait_until 60 grep -q 'again from the newest checkpoint in 2 s, 4 left' lost_rank.log
  says 'no rank has got on for 4 s'
  wait_until 120 state_is COMPLETED
  expect "restarts of the job" "$(field Restarts)" 0
  expect "digest" "$(digest lost_rank)" "$undisturbed"
}
row_gpus() {  # four per node, which nobody touches: run.device is "auto"
  submit --nodes=1 --cpus-per-task=2 --gpus-per-node=4 "$scripts/slurm.sbatch" config.toml --set run.folder=gpus
  wait_until 90 state_is COMPLETED
  says '4 ranks, 1 threads each'
  expect "digest" "$(digest gpus)" "$undisturbed"
  submit --nodes=2 --gpus-per-node=2 "$scripts/slurm.sbatch" config.toml --set run.folder=two_gpus
  wait_until 90 state_is COMPLETED
  expect "digest" "$(digest two_gpus)" "$undisturbed"
}
row_sbatch_missing_library() {  # of the program, on node 2 alone
  printf '#!/bin/sh\n[ "$SLURMD_NODENAME" = node1 ] || exec %s/absent\nexec %s "$@"\n' "$PWD" "$program" >half_installed
  chmod +x half_installed
  INTERLOCK=$PWD/half_installed submit --nodes=2 "$scripts/slurm.sbatch" config.toml \
    --set run.folder=sbatch_missing_library
  wait_until 60 state_is FAILED
  expect "exit code" "$(field ExitCode)" 64:0
  says_once 'does not start on every node'
}
row_sbatch_missing_file() {
  cp config.toml data.toml
  sed -i 's|paths = .*|paths = ["/proc/self/cwd/absent"]|' data.toml
  submit --nodes=2 "$scripts/slurm.sbatch" data.toml --set run.folder=sbatch_missing_file
  wait_until 60 state_is FAILED
  expect "exit code" "$(field ExitCode)" 65:0
  says_once 'absent'
}
row_mpirun() {
  submit --nodes=1 --ntasks-per-node=4 "$scripts/mpirun.sbatch" config.toml --set run.folder=mpirun
  wait_until 60 trained mpirun
  on 1 scancel --batch --signal=USR1 "$job"
  wait_until 60 restarted
  says 'stopped, with a checkpoint; back into the queue'
  start_again
  wait_until 90 state_is COMPLETED
  expect "digest" "$(digest mpirun)" "$undisturbed"
}
row_mpirun_two_nodes() {
  submit --nodes=2 "$scripts/mpirun.sbatch" config.toml --set run.folder=mpirun_two_nodes
  wait_until 90 state_is COMPLETED
  expect "digest" "$(digest mpirun_two_nodes)" "$undisturbed"
}
# Limits are whole minutes, so three jobs wait for theirs together: by srun, by mpirun, and one whose script has no
# --signal=B:, where the limit ends mpirun and its ranks at once.
row_time_limits() {
  row=time_limit
  submit --nodes=2 --time=1 --signal=USR1@30 "$scripts/slurm.sbatch" config.toml --set run.folder=time_limit \
    --set run.steps=1000000
  local by_srun=$job
  row=mpirun_time_limit
  submit --nodes=1 --ntasks-per-node=4 --time=1 --signal=B:USR1@30 "$scripts/mpirun.sbatch" config.toml \
    --set run.folder=mpirun_time_limit --set run.steps=1000000
  local by_mpirun=$job
  row=not_asked
  printf '#!/bin/sh\n%s\n' "$(train --set run.steps=1000000 --set checkpoint.every=20)" >not_asked.sh
  submit --nodes=1 --ntasks-per-node=4 --time=1 not_asked.sh
  local not_asked=$job
  row=time_limit job=$by_srun
  wait_until 150 restarted
  says 'stopped, with a checkpoint; back into the queue'
  on 1 scancel "$job"
  row=mpirun_time_limit job=$by_mpirun
  wait_until 60 restarted
  says 'stopped, with a checkpoint; back into the queue'
  on 1 scancel "$job"
  row=not_asked job=$not_asked
  wait_until 120 state_is TIMEOUT
  wait_until 30 grep -q 'interlock: error:' not_asked.log
  says_once 'mpirun and its ranks got the SIGTERM too'
  says '--resume goes on from not_asked/checkpoints/step-'
}

rows=("$@")
((${#rows[@]} > 0)) || rows=(srun usr1 killed_rank missing_file missing_file_plain missing_weights missing_folder bad_config
  no_pmix one_task slots mpich doctor_cluster requeue array lost_rank gpus sbatch_missing_library sbatch_missing_file mpirun mpirun_two_nodes time_limits)
[[ " ${rows[*]} " == *" srun "* ]] || rows=(srun "${rows[@]}")
for name in "${rows[@]}"; do
  begin=$SECONDS before=$failures row=$name
  "row_$name" || ((failures > before)) || failures=$((failures + 1))
  echo "$name: $( ((failures == before)) && echo passed || echo FAILED) ($((SECONDS - begin)) s)"
  on 1 scancel -u root >/dev/null 2>&1 || true
done
((failures == 0)) || { echo "slurm_two_nodes_test: $failures failures" >&2; exit 1; }
echo "slurm_two_nodes_test: passed"
