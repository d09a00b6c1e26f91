#!/usr/bin/env bash
# launch/cluster/slurm.sbatch without Slurm: srun and scontrol are stand-ins that write down how they were called, the
# program is one that takes SIGUSR1 as a rank does. Argument: the script.
set -euo pipefail
script=$(readlink -f "$1")
grep -qx '#SBATCH --signal=USR1@120' "$script"
grep -qx '#SBATCH --requeue' "$script"
grep -qx '#SBATCH --open-mode=append' "$script"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir stand-ins

# Starts two tasks, forwards SIGUSR1 to them as Slurm does before the time limit, and answers with the highest exit code.
cat >stand-ins/srun <<'END'
#!/usr/bin/env bash
printf '%s\n' "$@" >srun.called
echo $$ >srun.pid
while [[ ${1:-} == --* ]]; do shift; done
tasks=()
trap 'kill -USR1 "${tasks[@]}"' USR1
for task in 0 1; do
  SLURM_STEP_ID=0 SLURM_PROCID=$task SLURM_STEP_NUM_TASKS=2 "$@" &
  tasks+=($!)
done
highest=0
for task in "${tasks[@]}"; do
  code=138
  while ((code == 138)); do code=0; wait "$task" || code=$?; done  # 138: the trap came in between
  ((code <= highest)) || highest=$code
done
exit "$highest"
END
cat >stand-ins/scontrol <<'END'
#!/usr/bin/env bash
printf '%s\n' "$*" >>scontrol.called
END
cat >stand-ins/program <<'END'
#!/usr/bin/env bash
trap 'sleep "0.$SLURM_PROCID"; exit 75' USR1
touch "ready.$SLURM_PROCID"
case $BEHAVIOUR in
  end) exit 0 ;;
  fail) exit $((SLURM_PROCID == 1 ? 65 : 0)) ;;
  train) while :; do sleep 0.05; done ;;
esac
END
chmod +x stand-ins/*
export PATH=$folder/stand-ins:$PATH INTERLOCK=$folder/stand-ins/program SLURM_JOB_ID=4711 SLURM_CPUS_PER_TASK=3

fail() {
  echo "slurm_test: $*" >&2
  cat log >&2
  exit 1
}
expect() { [[ $2 == "$3" ]] || fail "$1 is '$2', expected '$3'"; }

# Puts the exit code of the job into `code`. `train` jobs are asked to stop when both tasks are ready.
job() {
  rm -f ready.* ./*.called
  BEHAVIOUR=$1 bash "$script" "${@:2}" >log 2>&1 &
  local shell=$! waited=0
  if [[ $1 == train ]]; then
    until [[ -e ready.0 && -e ready.1 ]]; do
      ((waited++ < 200)) || fail "the tasks did not start"
      sleep 0.05
    done
    kill -USR1 "$(cat srun.pid)"
  fi
  code=0
  wait "$shell" || code=$?
}

job train config.toml --set run.steps=9
expect "exit code" "$code" 75
expect "scontrol" "$(cat scontrol.called)" "requeue 4711"
expect "the program's arguments" "$(sed '1,/program$/d' srun.called | tr '\n' ' ')" \
  "train config.toml --resume --set parallel.threads=3 --set run.steps=9 "
grep -qx -- '--kill-on-bad-exit=0' srun.called || fail "srun would kill ranks that are about to end with 75"
grep -qx -- '--mpi=pmix' srun.called || fail "srun without PMIx"
grep -q 'job 4711, start 1, ' log || fail "the log does not count starts"
SLURM_RESTART_COUNT=2 job end config.toml
grep -q 'job 4711, start 3, ' log || fail "the log does not count starts"
expect "exit code" "$code" 0
[[ ! -e scontrol.called ]] || fail "requeued a run that is done"
job fail config.toml
expect "exit code" "$code" 65
[[ ! -e scontrol.called ]] || fail "requeued a run that failed"
job end
expect "exit code without a config" "$code" 2
INTERLOCK=$folder/absent job end config.toml
expect "exit code without a program" "$code" 64
echo "slurm_test: passed"
