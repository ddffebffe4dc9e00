#!/bin/sh
# Stand-in for benchmark_model, for tests of the protocol only: it prints what the classic tool
# prints, and its latencies are computed from the model's size (10 us and 1 us for every 64
# bytes). Models that begin with a word make it misbehave; the file /data/local/tmp/speed, if
# there, multiplies latencies by a percentage; /data/local/tmp/pause makes every run last.
if [ "$1" = --help ]; then
    cat <<HELP
usage: benchmark_model (stand-in for tests)
Flags:
	--num_runs=50	int32	optional	expected number of runs, see also min_secs, max_secs
	--min_secs=1	float	optional	minimum number of seconds to rerun for
	--max_secs=150	float	optional	maximum number of seconds to rerun for
	--num_threads=-1	int32	optional	number of threads
	--warmup_runs=1	int32	optional	minimum number of runs performed on initialization
	--warmup_min_secs=0.5	float	optional	minimum number of seconds to rerun for
	--graph=	string	required	graph file name
	--use_xnnpack=false	bool	optional	explicitly apply the XNNPACK delegate
HELP
    exit 0
fi
runs=50
for argument; do
    case "$argument" in
    --graph=*) graph=${argument#--graph=} ;;
    --num_runs=*) runs=${argument#--num_runs=} ;;
    esac
done
read -r word <"$graph" 2>/dev/null
case "$word" in
crash*) kill -SEGV $$ ;;
hang*) sleep 1000 ;;
garbage*) head -c 100000 /dev/urandom; echo; exit 0 ;;
refuse*) echo "ERROR: Failed to load model"; exit 1 ;;
flaky*) [ -e /data/local/tmp/flaky ] || { touch /data/local/tmp/flaky; kill -KILL $$; } ;;
esac
size=$(wc -c <"$graph")
us=$((10 + size / 64))
if [ -e /data/local/tmp/speed ]; then
    read -r percent </data/local/tmp/speed
    us=$((us * percent / 100))
fi
if [ -e /data/local/tmp/pause ]; then
    read -r seconds </data/local/tmp/pause
    sleep "$seconds"
fi
echo "INFO: STARTING!"
echo "INFO: Running benchmark for at least 1 iterations and at least 0 seconds but terminate if exceeding 150 seconds."
echo "INFO: count=1 curr=99999"
echo "INFO: Running benchmark for at least $runs iterations and at least 0 seconds but terminate if exceeding 150 seconds."
echo "INFO: count=$runs first=$us curr=$us min=$us max=$((us + 2)) avg=$((us + 1)) std=1"
echo "INFO: Inference timings in us: Init: 500, First inference: 99999, Warmup (avg): 99999, Inference (avg): $((us + 1))"
