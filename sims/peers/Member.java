// A member of a group, as Apache Kafka's own client has it: see `peers.rs`.
// Arguments: bootstrap servers, group, topic, settings as key=value.

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Properties;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

public class Member {
    public static void main(String[] arguments) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[0]);
        settings.put("group.id", arguments[1]);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("key.deserializer", ByteArrayDeserializer.class.getName());
        settings.put("value.deserializer", ByteArrayDeserializer.class.getName());
        for (int i = 3; i < arguments.length; i++) {
            String[] pair = arguments[i].split("=", 2);
            settings.put(pair[0], pair[1]);
        }
        AtomicBoolean stop = new AtomicBoolean();
        Thread watch = new Thread(() -> {
            try {
                while (System.in.read() >= 0) { }
            } catch (Exception e) {
                // The other end is gone anyway.
            }
            stop.set(true);
        });
        watch.setDaemon(true);
        watch.start();
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings)) {
            ConsumerRebalanceListener listener = new ConsumerRebalanceListener() {
                public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
                    consumer.commitSync();
                }

                public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                }

                public void onPartitionsLost(Collection<TopicPartition> partitions) {
                }
            };
            consumer.subscribe(List.of(arguments[2]), listener);
            List<Integer> told = null;
            while (!stop.get()) {
                Iterable<ConsumerRecord<byte[], byte[]>> records = consumer.poll(Duration.ofMillis(50));
                List<Integer> owned = new ArrayList<>();
                for (TopicPartition partition : consumer.assignment()) {
                    owned.add(partition.partition());
                }
                owned = new ArrayList<>(new TreeSet<>(owned));
                if (!owned.equals(told)) {
                    told = owned;
                    say("owns " + owned.stream().map(String::valueOf).collect(Collectors.joining(",")));
                }
                boolean any = false;
                for (ConsumerRecord<byte[], byte[]> record : records) {
                    long key = java.nio.ByteBuffer.wrap(record.key()).getLong();
                    say("read " + record.partition() + " " + record.offset() + " " + key);
                    any = true;
                }
                if (any) {
                    try {
                        consumer.commitSync();
                    } catch (RebalanceInProgressException e) {
                        // The listener commits.
                    }
                }
            }
        }
        say("closed");
    }

    static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }
}
