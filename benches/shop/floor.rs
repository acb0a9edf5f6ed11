//! The floor of everything durable: a PostgreSQL of its own with the settings of the shop's, and the
//! plainest statements that could stand in the shop's place.

use std::path::PathBuf;

use globalshop::embedded::Embedded;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _, PgConnection};

use crate::client::Worker;
use crate::node::folder;

pub struct Postgres {
    embedded: Embedded,
    folder: PathBuf,
}

impl Postgres {
    pub async fn open(name: &str) -> Self {
        let folder = folder(&format!("floor-{name}"));
        let embedded = Embedded::start(&folder).await.unwrap();
        Self { embedded, folder }
    }

    pub fn options(&self) -> PgConnectOptions {
        self.embedded.connect_options().disable_statement_logging()
    }

    pub async fn connect(&self) -> PgConnection {
        self.options().connect().await.unwrap()
    }

    pub async fn close(self) {
        self.embedded.stop().await;
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// One client of a stock that is one row of one table.
pub struct HotRow(PgConnection);

impl HotRow {
    pub async fn table(postgres: &Postgres) {
        let mut connection = postgres.connect().await;
        connection
            .execute(
                "create table hot (id int primary key, stock bigint not null);
                 insert into hot values (1, 1000000000)",
            )
            .await
            .unwrap();
    }

    pub async fn clients(postgres: &Postgres, count: usize) -> Vec<Self> {
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            clients.push(Self(postgres.connect().await));
        }
        clients
    }
}

impl Worker for HotRow {
    async fn work(&mut self) -> usize {
        let took = sqlx::query("update hot set stock = stock - 1 where id = 1 and stock > 0")
            .execute(&mut self.0)
            .await
            .unwrap();
        assert_eq!(took.rows_affected(), 1);
        1
    }
}

/// A client that inserts one row at a time, each committed by itself.
pub struct SingleRow(PgConnection);

impl SingleRow {
    pub async fn open(postgres: &Postgres) -> Self {
        let mut connection = postgres.connect().await;
        connection
            .execute("create table single (id bigserial primary key, note text not null)")
            .await
            .unwrap();
        Self(connection)
    }
}

impl Worker for SingleRow {
    async fn work(&mut self) -> usize {
        sqlx::query("insert into single (note) values ($1)")
            .bind("one unit for one line of one order")
            .execute(&mut self.0)
            .await
            .unwrap();
        1
    }
}
