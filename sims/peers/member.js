// A member of a group, as kafkajs has it: see `peers.rs`.
// Arguments: bootstrap servers, group, topic, settings as key=value.

const { Kafka, logLevel, AssignerProtocol } = require('kafkajs')

const { MemberMetadata, MemberAssignment } = AssignerProtocol
const [bootstrap, groupId, topic, ...rest] = process.argv.slice(2)
const settings = Object.fromEntries(rest.map(pair => pair.split(/=(.*)/s).slice(0, 2)))
const say = line => console.log(line)

// kafkajs calls its only assigner by a name that no other client has. This one is Java's `range`, or a round
// robin, for one topic, under the name that others know.
const assigner = name => ({ cluster }) => ({
  name,
  version: 0,
  async assign({ members, topics }) {
    const ids = members.map(member => member.memberId).sort()
    const owned = Object.fromEntries(ids.map(id => [id, {}]))
    for (const topic of topics) {
      const partitions = cluster.findTopicPartitionMetadata(topic).map(p => p.partitionId)
      partitions.sort((a, b) => a - b)
      partitions.forEach((partition, index) => {
        const at = name === 'range'
          ? rangeOwner(index, partitions.length, ids.length)
          : index % ids.length
        const mine = owned[ids[at]]
        ;(mine[topic] = mine[topic] || []).push(partition)
      })
    }
    return ids.map(memberId => ({
      memberId,
      memberAssignment: MemberAssignment.encode({ version: 0, assignment: owned[memberId], userData: Buffer.alloc(0) })
    }))
  },
  protocol({ topics }) {
    return { name, metadata: MemberMetadata.encode({ version: 0, topics, userData: Buffer.alloc(0) }) }
  }
})

function rangeOwner(index, partitions, members) {
  const least = Math.floor(partitions / members)
  const more = partitions % members
  const boundary = more * (least + 1)
  return index < boundary ? Math.floor(index / (least + 1)) : more + Math.floor((index - boundary) / least)
}

async function main() {
  const kafka = new Kafka({ brokers: bootstrap.split(','), logLevel: logLevel.NOTHING })
  const consumer = kafka.consumer({
    groupId,
    sessionTimeout: Number(settings['session.timeout.ms'] || 10000),
    heartbeatInterval: Number(settings['heartbeat.interval.ms'] || 3000),
    maxWaitTimeInMs: 100,
    partitionAssigners: [assigner(settings['partition.assignment.strategy'] || 'range')]
  })
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    const owned = [...(payload.memberAssignment[topic] || [])].sort((a, b) => a - b)
    say('owns ' + owned.join(','))
  })
  consumer.on(consumer.events.REBALANCING, () => say('owns '))
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  process.stdin.resume()
  process.stdin.on('end', async () => {
    await consumer.disconnect()
    say('closed')
    process.exit(0)
  })
  await consumer.run({
    autoCommitThreshold: 1,
    eachMessage: async ({ partition, message }) => {
      say(`read ${partition} ${message.offset} ${message.key.readBigInt64BE()}`)
    }
  })
}

main().catch(error => {
  say('error ' + error.message)
  process.exit(1)
})
