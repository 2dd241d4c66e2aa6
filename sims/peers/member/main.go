// A member of a group, as franz-go has it: see `peers.rs`.
// Arguments: bootstrap servers, group, topic, settings as key=value.
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

var owned = struct {
	sync.Mutex
	partitions map[int32]bool
}{partitions: map[int32]bool{}}

func note(changed map[string][]int32, owns bool) {
	owned.Lock()
	defer owned.Unlock()
	for _, partitions := range changed {
		for _, partition := range partitions {
			if owns {
				owned.partitions[partition] = true
			} else {
				delete(owned.partitions, partition)
			}
		}
	}
	var all []int
	for partition := range owned.partitions {
		all = append(all, int(partition))
	}
	sort.Ints(all)
	var words []string
	for _, partition := range all {
		words = append(words, strconv.Itoa(partition))
	}
	fmt.Println("owns " + strings.Join(words, ","))
}

func balancer(name string) kgo.GroupBalancer {
	switch name {
	case "roundrobin":
		return kgo.RoundRobinBalancer()
	case "cooperative-sticky":
		return kgo.CooperativeStickyBalancer()
	case "sticky":
		return kgo.StickyBalancer()
	}
	return kgo.RangeBalancer()
}

func main() {
	settings := map[string]string{}
	for _, pair := range os.Args[4:] {
		key, value, _ := strings.Cut(pair, "=")
		settings[key] = value
	}
	millis := func(key string, otherwise int) time.Duration {
		if value, err := strconv.Atoi(settings[key]); err == nil {
			otherwise = value
		}
		return time.Duration(otherwise) * time.Millisecond
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(os.Args[1], ",")...),
		kgo.ConsumerGroup(os.Args[2]),
		kgo.ConsumeTopics(os.Args[3]),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.Balancers(balancer(settings["partition.assignment.strategy"])),
		kgo.SessionTimeout(millis("session.timeout.ms", 10000)),
		kgo.HeartbeatInterval(millis("heartbeat.interval.ms", 3000)),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, changed map[string][]int32) {
			note(changed, true)
		}),
		kgo.OnPartitionsRevoked(func(ctx context.Context, client *kgo.Client, changed map[string][]int32) {
			client.CommitUncommittedOffsets(ctx)
			note(changed, false)
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, changed map[string][]int32) {
			note(changed, false)
		}),
	)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		count := 0
		fetches.EachRecord(func(record *kgo.Record) {
			key := binary.BigEndian.Uint64(record.Key)
			fmt.Println("read", record.Partition, record.Offset, key)
			count++
		})
		if count > 0 {
			client.CommitUncommittedOffsets(ctx)
		}
		client.AllowRebalance()
	}
	client.Close()
	fmt.Println("closed")
}
