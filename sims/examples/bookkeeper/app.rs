//! A shop that sends payments, and a bookkeeper that reads them and keeps balances.
//!
//! The bookkeeper stores two things on its disk: how far it has read, and the balances.
//! [`TwoFiles`] saves them one after the other: a bookkeeper that is killed in between skips
//! payments that are in no balance. [`OneFile`] saves both at once, and is correct.
//!
//! [`member`] is the same bookkeeper with a consumer group, which keeps the offsets: it commits them after
//! the books are saved. A bookkeeper that dies in between reads payments again that are in the books:
//! [`Trusting`] enters them twice, [`Careful`] knows them by their offsets.
//! payments that are in no balance. [`OneFile`] saves both at once, and is correct.

use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::io;
use std::time::Duration;

use brokerquake::prelude::*;

const ACCOUNTS: u64 = 5;
const PAYMENTS: u64 = 200;
/// Partitions of the topic `payments`.
pub const PARTITIONS: i32 = 2;
/// The last record of each partition: the shop has closed.
const CLOSED: &[u8] = b"closed";

/// Sends payments, keyed by account, and closes.
pub async fn shop(host: Host) -> Result<(), Box<dyn Error>> {
    let producer = host.producer(&[("acks", "all"), ("linger.ms", "5")])?;
    for _ in 0..PAYMENTS {
        let account = format!("account-{}", host.draw(0..ACCOUNTS));
        let amount = host.draw(1..100).to_string();
        producer.send_and_wait(ProducerRecord::new("payments", amount).with_key(account)).await?;
        host.sleep(Duration::from_millis(host.draw(1..100))).await;
    }
    for partition in 0..PARTITIONS {
        let closed = ProducerRecord::new("payments", CLOSED).to_partition(partition);
        producer.send_and_wait(closed).await?;
    }
    Ok(())
}

/// The bookkeeper's state: the next offset of each partition, and each account's balance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Books {
    next: BTreeMap<i32, i64>,
    balances: BTreeMap<String, u64>,
    /// Number of partitions that were read to their end.
    closed: i32,
}

impl Books {
    fn enter(&mut self, record: &ConsumerRecord) {
        self.next.insert(record.partition.partition, record.offset.0 + 1);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match (&record.key, &record.value) {
            (Some(account), Some(amount)) => {
                let amount: u64 = text(amount).parse().unwrap_or(0);
                *self.balances.entry(text(account)).or_default() += amount;
            }
            _ => self.closed += 1,
        }
    }
}

/// How the bookkeeper stores its books.
pub trait Shelf: Copy + Send + Sync + 'static {
    /// Loads the books that were saved last; empty if there are none.
    fn load(self, host: &Host) -> impl Future<Output = io::Result<Books>> + Send;
    /// Saves the books durably.
    fn save(self, host: &Host, books: &Books) -> impl Future<Output = io::Result<()>> + Send;
}

/// One file for the offsets and one for the rest.
#[derive(Clone, Copy)]
pub struct TwoFiles;

impl Shelf for TwoFiles {
    async fn load(self, host: &Host) -> io::Result<Books> {
        let next = host.load("offsets").await?.map(|text| read(&text).next).unwrap_or_default();
        let rest = host.load("balances").await?.map(|text| read(&text)).unwrap_or_default();
        Ok(Books { next, ..rest })
    }

    async fn save(self, host: &Host, books: &Books) -> io::Result<()> {
        host.save("offsets", write(books).as_bytes()).await?;
        // Killed here, the bookkeeper later skips payments that it never entered.
        host.save("balances", write(books).as_bytes()).await
    }
}

/// One file for everything.
#[derive(Clone, Copy)]
pub struct OneFile;

impl Shelf for OneFile {
    async fn load(self, host: &Host) -> io::Result<Books> {
        Ok(host.load("books").await?.map(|text| read(&text)).unwrap_or_default())
    }

    async fn save(self, host: &Host, books: &Books) -> io::Result<()> {
        host.save("books", write(books).as_bytes()).await
    }
}

/// Reads payments from where the books end until both partitions are closed.
pub async fn bookkeeper(host: Host, shelf: impl Shelf) -> Result<(), Box<dyn Error>> {
    let mut books = shelf.load(&host).await?;
    let mut consumer = host.consumer(&[("auto.offset.reset", "earliest")])?;
    let partitions = (0..PARTITIONS).map(|index| TopicPartition::new("payments", index));
    consumer.assign(partitions.clone());
    for partition in partitions {
        let next = books.next.get(&partition.partition).copied().unwrap_or(0);
        consumer.seek(&partition, Offset(next));
    }
    while books.closed < PARTITIONS {
        let records = consumer.poll(Duration::from_millis(500)).await?;
        if !records.is_empty() {
            records.iter().for_each(|record| books.enter(record));
            shelf.save(&host, &books).await?;
        }
    }
    for (account, balance) in &books.balances {
        host.note(format!("{account} {balance}"));
    }
    Ok(())
}

/// What a member of a group makes of a payment that it reads again.
pub trait Memory: Copy + Send + Sync + 'static {
    /// Whether the payment is in the books.
    fn has(self, books: &Books, payment: &ConsumerRecord) -> bool;
}

/// Trusts the group that no payment comes twice.
#[derive(Clone, Copy)]
pub struct Trusting;

impl Memory for Trusting {
    fn has(self, _: &Books, _: &ConsumerRecord) -> bool {
        false
    }
}

/// Remembers the offset up to which payments were entered.
#[derive(Clone, Copy)]
pub struct Careful;

impl Memory for Careful {
    fn has(self, books: &Books, payment: &ConsumerRecord) -> bool {
        let next = books.next.get(&payment.partition.partition);
        next.is_some_and(|next| payment.offset.0 < *next)
    }
}

/// Reads payments as the one member of a group, and commits what is in the saved books.
pub async fn member(host: Host, memory: impl Memory) -> Result<(), Box<dyn Error>> {
    let mut books = OneFile.load(&host).await?;
    let mut consumer = host.consumer(&[
        ("group.id", "bookkeeping"),
        // After a crash it comes back as the same member, which still owns its partitions.
        ("group.instance.id", host.name()),
        ("auto.offset.reset", "earliest"),
        ("enable.auto.commit", "false"),
    ])?;
    consumer.subscribe(["payments"])?;
    while books.closed < PARTITIONS {
        let records = consumer.poll(Duration::from_millis(500)).await?;
        let records: Vec<_> =
            records.into_iter().filter(|record| !memory.has(&books, record)).collect();
        if !records.is_empty() {
            records.iter().for_each(|record| books.enter(record));
            OneFile.save(&host, &books).await?;
            // Killed here, the bookkeeper reads these payments again. A later commit makes up for one
            // that fails.
            let _ = consumer.commit_sync(Duration::from_secs(5)).await;
        }
    }
    for (account, balance) in &books.balances {
        host.note(format!("{account} {balance}"));
    }
    consumer.close(Duration::from_secs(5)).await;
    Ok(())
}

fn write(books: &Books) -> String {
    let next = books.next.iter().map(|(partition, offset)| format!("next {partition} {offset}\n"));
    let balances = books.balances.iter().map(|(account, sum)| format!("balance {account} {sum}\n"));
    next.chain(balances).chain([format!("closed {} -\n", books.closed)]).collect()
}

fn read(text: &[u8]) -> Books {
    let mut books = Books::default();
    for line in String::from_utf8_lossy(text).lines() {
        let words: Vec<_> = line.split(' ').collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse().ok()).unwrap_or(0);
        match words.first().copied() {
            Some("next") => drop(books.next.insert(number(1) as i32, number(2))),
            Some("balance") => drop(books.balances.insert(words[1].to_owned(), number(2) as u64)),
            _ => books.closed = number(1) as i32,
        }
    }
    books
}
