package redistest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	goredis "github.com/redis/go-redis/v9"
)

const clusterSlots = 16384

// LaunchCluster starts n servers as the masters of a Redis Cluster, and
// Options.Replicas for each, each server in a folder of its own below the
// directory, and returns when all of them find the cluster complete. First come the
// masters, then the replicas of the first one, and so on. The caller stops them.
func LaunchCluster(dir string, n int, options *Options) ([]*Process, error) {
	settings, err := options.settings()
	if err != nil {
		return nil, err
	}
	settings.cluster = true
	var nodes []*Process
	for i := range n + n*settings.replicas {
		folder := filepath.Join(dir, strconv.Itoa(i))
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, errors.Join(err, stopAll(nodes))
		}
		node, err := launch(folder, settings)
		if err != nil {
			return nil, errors.Join(err, stopAll(nodes))
		}
		nodes = append(nodes, node)
	}
	ctx, cancel := context.WithTimeout(context.Background(), settings.startTimeout)
	defer cancel()
	err = join(ctx, nodes, n)
	for i := n; i < len(nodes) && err == nil; i++ {
		err = replicate(ctx, nodes[i], nodes[(i-n)/settings.replicas])
	}
	if err == nil {
		err = awaitCluster(ctx, nodes)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("redistest: form a cluster: %w", err), stopAll(nodes))
	}
	return nodes, nil
}

func stopAll(nodes []*Process) error {
	var errs []error
	for _, node := range nodes {
		errs = append(errs, node.Stop())
	}
	return errors.Join(errs...)
}

// join gives each of the masters its slots and has all nodes meet.
func join(ctx context.Context, nodes []*Process, masters int) error {
	for i, node := range nodes {
		err := node.with(func(client *goredis.Client) error {
			// Nodes with the same epoch would first have to resolve the tie.
			if err := client.Do(ctx, "cluster", "set-config-epoch", i+1).Err(); err != nil {
				return err
			}
			if i < masters {
				first, last := i*clusterSlots/masters, (i+1)*clusterSlots/masters-1
				if err := client.ClusterAddSlotsRange(ctx, first, last).Err(); err != nil {
					return err
				}
			}
			if i == 0 {
				return nil
			}
			return client.ClusterMeet(ctx, "127.0.0.1", strconv.Itoa(nodes[0].port)).Err()
		})
		if err != nil {
			return err
		}
	}
	return awaitCluster(ctx, nodes)
}

// replicate makes a node a replica of a master, and returns when it is up to
// date.
func replicate(ctx context.Context, node, master *Process) error {
	var name string
	err := master.with(func(client *goredis.Client) (err error) {
		name, err = client.Do(ctx, "cluster", "myid").Text()
		return err
	})
	if err != nil {
		return err
	}
	return node.with(func(client *goredis.Client) error {
		// It may not know the master yet.
		err := await(ctx, nil, func() error { return client.ClusterReplicate(ctx, name).Err() })
		if err != nil {
			return err
		}
		return await(ctx, nil, func() error {
			info, err := client.Info(ctx, "replication").Result()
			if err == nil && field(info, "master_link_status") != "up" {
				err = fmt.Errorf("%s is not up to date", node.Addr())
			}
			return err
		})
	})
}

// awaitCluster returns when every node finds the cluster complete.
func awaitCluster(ctx context.Context, nodes []*Process) error {
	for _, node := range nodes {
		err := node.with(func(client *goredis.Client) error {
			return await(ctx, nil, func() error {
				info, err := client.ClusterInfo(ctx).Result()
				if err != nil {
					return err
				}
				if field(info, "cluster_state") != "ok" || field(info, "cluster_slots_ok") != strconv.Itoa(clusterSlots) ||
					field(info, "cluster_known_nodes") != strconv.Itoa(len(nodes)) {
					return fmt.Errorf("%s finds the cluster in this state:\n%s", node.Addr(), info)
				}
				return nil
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// NewClusterClient returns a client of the cluster that the nodes form. The
// caller closes it.
func NewClusterClient(nodes []*Process) *goredis.ClusterClient {
	options := ClientOptions("")
	cluster := &goredis.ClusterOptions{
		DialTimeout:           options.DialTimeout,
		ReadTimeout:           options.ReadTimeout,
		WriteTimeout:          options.WriteTimeout,
		ContextTimeoutEnabled: options.ContextTimeoutEnabled,
	}
	for _, node := range nodes {
		cluster.Addrs = append(cluster.Addrs, node.Addr())
	}
	return goredis.NewClusterClient(cluster)
}
