// Transactions, as Apache Kafka's own clients make and read them: see `java_transactions.rs`.
// Arguments: bootstrap servers, transactional id, settings of the producer as key=value.
// Obeys one command a line. Says `ok` after what it has to say, or `error` with the exception.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Transactions {
    static String bootstrap;
    static KafkaProducer<String, String> producer;

    public static void main(String[] arguments) throws Exception {
        bootstrap = arguments[0];
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("transactional.id", arguments[1]);
        settings.put("key.serializer", StringSerializer.class.getName());
        settings.put("value.serializer", StringSerializer.class.getName());
        for (int i = 2; i < arguments.length; i++) {
            String[] pair = arguments[i].split("=", 2);
            settings.put(pair[0], pair[1]);
        }
        producer = new KafkaProducer<>(settings);
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        String line;
        while ((line = commands.readLine()) != null) {
            try {
                obey(line.split(" "));
                say("ok");
            } catch (KafkaException e) {
                boolean wrapped = e.getClass() == KafkaException.class && e.getCause() != null;
                Throwable cause = wrapped ? e.getCause() : e;
                say("error " + cause.getClass().getSimpleName() + ": " + cause.getMessage());
            }
        }
        producer.close(Duration.ZERO);
    }

    static void obey(String[] words) {
        switch (words[0]) {
            case "init": producer.initTransactions(); break;
            case "begin": producer.beginTransaction(); break;
            case "send": producer.send(new ProducerRecord<>(words[1], Integer.valueOf(words[2]), null, words[3])); break;
            case "flush": producer.flush(); break;
            case "commit": producer.commitTransaction(); break;
            case "abort": producer.abortTransaction(); break;
            case "read": read(words[1], words[2], Integer.parseInt(words[3])); break;
            case "transform": transform(words[1], words[2], words[3], Integer.parseInt(words[4])); break;
            default: throw new IllegalArgumentException(words[0]);
        }
    }

    static KafkaConsumer<String, String> consumer(String isolation, String group, String protocol) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("isolation.level", isolation);
        settings.put("group.id", group);
        settings.put("group.protocol", protocol);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("max.poll.records", "3");
        settings.put("key.deserializer", StringDeserializer.class.getName());
        settings.put("value.deserializer", StringDeserializer.class.getName());
        return new KafkaConsumer<>(settings);
    }

    /** Says every record up to where this isolation level may read: the last stable offset for read_committed. */
    static void read(String isolation, String topic, int partitions) {
        try (KafkaConsumer<String, String> consumer = consumer(isolation, "reader", "classic")) {
            List<TopicPartition> all = new ArrayList<>();
            for (int partition = 0; partition < partitions; partition++) {
                all.add(new TopicPartition(topic, partition));
            }
            consumer.assign(all);
            consumer.seekToBeginning(all);
            Map<TopicPartition, Long> ends = consumer.endOffsets(all);
            while (all.stream().anyMatch(one -> consumer.position(one) < ends.get(one))) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(100))) {
                    if (record.offset() < ends.get(new TopicPartition(topic, record.partition()))) {
                        say("read " + record.partition() + " " + record.value());
                    }
                }
            }
        }
    }

    /**
     * Consumes, transforms and produces in transactions of three inputs at most, until `count` of them are
     * done. Every third transaction is aborted, and its inputs are read again.
     */
    static void transform(String input, String output, String protocol, int count) {
        try (KafkaConsumer<String, String> consumer = consumer("read_committed", "transform-" + protocol, protocol)) {
            consumer.subscribe(List.of(input));
            int done = 0;
            int turn = 1;
            while (done < count) {
                ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(100));
                if (records.isEmpty()) {
                    continue;
                }
                producer.beginTransaction();
                Map<TopicPartition, OffsetAndMetadata> next = new HashMap<>();
                for (ConsumerRecord<String, String> record : records) {
                    producer.send(new ProducerRecord<>(output, record.partition(), null, record.value() + "!"));
                    TopicPartition partition = new TopicPartition(record.topic(), record.partition());
                    next.put(partition, new OffsetAndMetadata(record.offset() + 1));
                }
                producer.sendOffsetsToTransaction(next, consumer.groupMetadata());
                if (turn++ % 3 == 0) {
                    producer.flush();
                    producer.abortTransaction();
                    Map<TopicPartition, OffsetAndMetadata> committed = consumer.committed(consumer.assignment());
                    for (TopicPartition partition : consumer.assignment()) {
                        OffsetAndMetadata at = committed.get(partition);
                        consumer.seek(partition, at == null ? 0 : at.offset());
                    }
                } else {
                    producer.commitTransaction();
                    done += records.count();
                }
            }
        }
    }

    static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }
}
