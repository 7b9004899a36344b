//! Every metric of ours: name, kind, labels, help. `docs/metrics.md` is made from it, and a test says when it differs.
//!
//! # Rules
//! - A row makes a field, its registration and its line in the documentation; nothing is named a second time.
//! - Prometheus' conventions: snake case, base units at the end of the name (seconds, bytes, and DCoin, never parts of them), `_total`
//!   behind counters (which is not written here), no name for what a label can say.
//! - What is counted elsewhere is copied when somebody asks (`super::copy`); only latencies are counted as they happen.
//! - Labels have few values, all known here or bounded by a named constant.

use super::row::{CounterBy, CounterByTwo, FloatCounter, FloatGauge, GaugeBy, GaugeByTwo, Kinded, Row, registered};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Makes a struct of each section, and [`TABLE`] of all of them.
macro_rules! table {
    ($(
        $(#[$doc:meta])*
        $section:ident $title:literal {
            $( $field:ident: $kind:ident $([ $($label:literal),+ ])? $name:literal $help:literal; )+
        }
    )+) => {
        $(
            $(#[$doc])*
            pub(super) struct $section {
                $( pub(super) $field: $kind, )+
            }

            impl $section {
                /// Registers them, at zero.
                pub(super) fn new(registry: &mut Registry) -> Self {
                    Self { $( $field: registered(registry, $name, $help), )+ }
                }
            }
        )+

        /// Every metric, in the order in which they are told.
        pub(crate) const TABLE: &[Row] = &[
            $( $( Row {
                section: $title,
                name: $name,
                kind: <$kind as Kinded>::KIND,
                labels: &[ $( $( $label ),+ )? ],
                help: $help,
            }, )+ )+
        ];
    };
}

table! {
    /// The process.
    ProcessMetrics "The process" {
        build: GaugeBy ["version"] "build_info" "1; the label says which version runs";
        start_s: FloatGauge "start_time_seconds" "When the process started, since 1970";
        disk_free: Gauge "disk_free_bytes" "Free bytes of the file system with the data directory";
        disk_size: Gauge "disk_size_bytes" "Bytes of that file system";
        certificate_ends_s: GaugeBy ["certificate"] "certificate_expiry_timestamp_seconds" "When a certificate that the configuration names ends, since 1970";
    }

    /// The ledger node.
    LedgerMetrics "Ledger" {
        height: Gauge "milestone_height" "Height of the last milestone executed";
        milestone_s: FloatGauge "milestone_timestamp_seconds" "Time of that milestone, since 1970";
        epoch: Gauge "epoch" "Epoch of the next milestone";
        committee: Gauge "committee_size" "Members of that epoch's committee";
        validator: Gauge "validator" "1 while this node is one of them";
        cut_off: Gauge "cut_off" "1 while too few of them are in touch with this node to confirm anything";
        peers: Gauge "peers" "Other members of the committee heard of lately";
        messages: Counter "messages" "Messages that counted, on the whole network";
        readings: Counter "readings" "Readings anchored by messages that counted, on the whole network";
        issued: Counter "messages_issued" "Messages this node has issued";
        refused: CounterBy ["reason"] "messages_refused" "Messages refused";
        pulled: Counter "messages_pulled" "Messages fetched because a push was missed";
        unconfirmed: Gauge "messages_unconfirmed" "Messages in the DAG without a milestone";
        pending: Gauge "messages_pending" "Messages that wait for a parent";
        wanted: Gauge "messages_wanted" "Messages known to be missing, which are asked for";
        tips: Gauge "tips" "Tips of the DAG";
        equivocations: Counter "equivocations" "Issuers caught with two messages of one sequence";
        orders_refused: Counter "orders_refused" "Orders and evidence without effect";
    }

    /// Wallets.
    SpendMetrics "Wallets" {
        by_status: CounterBy ["status"] "spends" "Requests of wallets: certified and final as seen here; refused, locked and lapsed of those that this node carried";
        certified_s: Histogram "spend_certified_seconds" "From a request reaching this node to its certificate";
        final_s: Histogram "spend_final_seconds" "From a request reaching this node to its execution";
        votes: Counter "votes_cast" "Votes of this node for requests of wallets";
        certificates: Counter "certificates" "Certificates that this node put on the ledger because votes alone did not";
        rejections: Counter "spend_rejections" "Requests of wallets that this node rejected";
        registered: Counter "spends_registered" "Requests registered by the ledger so far";
        funded: FloatCounter "coins_funded_dcoin" "What accounts put into purses";
        redeemed: FloatCounter "coins_redeemed_dcoin" "What purses gave back to accounts";
        minted: FloatCounter "coins_minted_dcoin" "What shares and votes earned";
        circulating: FloatGauge "coins_circulating_dcoin" "What is in purses and purchases";
        balances: GaugeByTwo ["wallet", "part"] "wallet_balance_dcoin" "Account and purse of the committee's wallets and of those that spent last";
    }

    /// The site: from publishes to confirmations.
    SiteMetrics "Site" {
        connected: Gauge "site_connected" "1 while publishes can arrive";
        latency_s: Histogram "reading_latency_seconds" "From a publish being durable to its reading being confirmed here";
        accepted: Counter "site_publishes_accepted" "Publishes stored";
        duplicates: Counter "site_publishes_duplicate" "Publishes recognised as seen before";
        rejected: Counter "site_publishes_rejected" "Publishes with a malformed payload, or whose device is not believed";
        unbelieved: CounterBy ["reason"] "site_publishes_unbelieved" "Publishes whose device is not believed";
        refused: Counter "site_publishes_refused" "Publishes not acknowledged";
        readings: Counter "site_readings_stored" "Readings stored";
        anchored: Counter "site_readings_anchored" "Readings of the log that are in a message, ever";
        confirmed: Counter "site_readings_confirmed" "Readings of the log that are confirmed, ever";
        in_flight: Gauge "site_batches_in_flight" "Batches issued and not confirmed";
        cache_pending: Gauge "site_cache_pending" "Readings of the log that are not confirmed";
        cache_pending_bytes: Gauge "site_cache_pending_bytes" "About how many bytes of the log they take";
        log_bytes: Gauge "site_log_bytes" "Bytes of the log on disk";
        log_syncs: Counter "site_log_syncs" "Groups written to the log, each with one sync";
        relay_dropped: Counter "site_relay_dropped" "Processed copies dropped because nobody took them in time";
        notices_dropped: Counter "site_notices_dropped" "Batches whose notices were dropped because the broker did not take them";
        confirmations_dropped: Counter "site_confirmations_dropped" "Confirmed readings of which a device was not told";
    }

    /// The broker's access control.
    AccessMetrics "Broker" {
        refused: CounterByTwo ["kind", "reason"] "site_access_refused" "What the site's broker refused: a connect, subscribe, publish or packet";
        closed: Counter "site_access_closed" "Connections closed because the right to be there ended";
        reloads: Counter "site_access_reloads" "Times that users, keys and certificates were read anew";
        reloads_failed: Counter "site_access_reloads_failed" "Times that they could not be used and the old ones stayed";
    }

    /// The broker's place among other brokers.
    TierMetrics "Brokers above and below" {
        parent_connected: Gauge "tier_parent_connected" "1 while the parent broker can be reached";
        links_connected: Gauge "tier_links_connected" "Brokers below that are connected";
        queued: Gauge "tier_queued" "Publishes that wait for other brokers";
        spool_bytes: Gauge "tier_spool_bytes" "Bytes of these publishes on disk";
        connects: Counter "tier_connects" "Connections to the parent broker";
        spooled: Counter "tier_spooled" "Publishes kept for another broker";
        drained: Counter "tier_drained" "Publishes that another broker has acknowledged";
        from_above: Counter "tier_from_above" "Publishes taken from the parent broker";
        from_below: Counter "tier_from_below" "Publishes taken from brokers below";
        duplicates: Counter "tier_duplicates" "Repetitions from other brokers that were recognised";
        loops: Counter "tier_loops_refused" "Publishes refused because they came in a circle";
        refused: Counter "tier_refused" "Publishes not taken because they could not be kept; their senders have them";
        dropped: Counter "tier_dropped" "Publishes that the parent broker will never take";
        missed: Counter "tier_missed" "Readings deleted from the log before they could go to other brokers";
    }

    /// The fog processor.
    FogMetrics "Fog processor" {
        pipelines: Gauge "fog_pipelines" "Pipelines in force";
        intake_pending: Gauge "fog_intake_pending" "Readings that arrived and were not processed yet";
        intake_bytes: Gauge "fog_intake_bytes" "Bytes of the intake on disk";
        lag_s: FloatGauge "fog_lag_seconds" "How long ago the oldest reading that was not processed yet can have arrived";
        stalled: Gauge "fog_stalled" "1 while results cannot be kept, so that nothing is processed";
        readings_in: Counter "fog_readings_in" "Readings processed";
        accepted: Counter "fog_readings_accepted" "Readings of devices that came out";
        derived: Counter "fog_readings_derived" "Readings that windows and enrichments made, or that a stage changed against its signature";
        commands: Counter "fog_commands" "Commands to actuators";
        rejected: CounterBy ["reason"] "fog_readings_rejected" "Readings that a stage of a pipeline refused";
        filtered: Counter "fog_readings_filtered" "Readings taken out by a filter, or by a window that keeps none";
        duplicates: Counter "fog_readings_duplicate" "Repetitions of numbered readings";
        late: Counter "fog_readings_late" "Readings that came after each of their windows had closed";
        series: Gauge "fog_series" "Devices and data types that are remembered";
        open_windows: Gauge "fog_windows_open" "Windows that are open";
        forgotten: Counter "fog_series_forgotten" "Devices and data types forgotten because others needed the room";
        reloads: Counter "fog_reloads" "Times that the pipelines were read anew";
        reloads_refused: Counter "fog_reloads_refused" "Times that they could not be used and the old ones stayed";
        refused: Gauge "fog_refused" "1 while the file of pipelines cannot be used and older ones are in force";
    }

    /// The MQTT-SN gateway.
    MqttSnMetrics "MQTT-SN gateway" {
        clients: Gauge "mqttsn_clients" "MQTT-SN clients, those that are connecting included";
        asleep: Gauge "mqttsn_clients_asleep" "MQTT-SN clients that sleep";
        buffered: Gauge "mqttsn_buffered_bytes" "Bytes of messages that wait for MQTT-SN clients or the broker";
        connected: Counter "mqttsn_connects" "Connections of MQTT-SN clients accepted";
        lost: Counter "mqttsn_clients_lost" "MQTT-SN clients that fell silent";
        publishes_in: Counter "mqttsn_publishes_in" "Publishes of MQTT-SN clients handed to the broker";
        publishes_out: Counter "mqttsn_publishes_out" "Publishes sent to MQTT-SN clients";
        retries: Counter "mqttsn_retries" "Messages sent to MQTT-SN clients again";
        malformed: Counter "mqttsn_malformed" "Datagrams that are no message of MQTT-SN";
        refused: CounterBy ["reason"] "mqttsn_refused" "Requests of MQTT-SN clients refused";
        dropped: CounterBy ["reason"] "mqttsn_dropped" "Messages the MQTT-SN gateway dropped";
    }

    /// Requests between devices, and devices that roam.
    ExchangeMetrics "Requests between devices" {
        issued: Counter "requests_issued" "Requests of devices here that were put on the ledger";
        refused: Counter "requests_refused" "Requests of devices here that were refused";
        confirmed: Counter "requests_confirmed" "Requests of devices here that a milestone confirmed";
        accepted: Counter "requests_accepted" "Requests for devices here that were accepted";
        declined: Counter "requests_declined" "Requests for devices here that were not";
        replayed: Counter "requests_replayed" "Requests for devices here whose number was used before";
        delivered: Counter "requests_delivered" "Commands that were handed to the broker";
        expired: Counter "requests_expired" "Commands to which nobody subscribed in time";
        held: Gauge "requests_held" "Commands that wait for a subscriber";
        visitors: Gauge "roaming_devices_visiting" "Devices of other sites that are here";
        away: Gauge "roaming_devices_away" "Devices of this site that are elsewhere";
        handed_over: Counter "roaming_handovers" "Devices that were handed over to other sites";
        parcels: Counter "roaming_messages" "Messages from elsewhere that were given to devices here";
        dropped: Counter "exchange_dropped" "Notices to devices and other sites that were dropped";
        malformed: Counter "exchange_malformed" "Bodies that begin like records of sites and are none";
        missed: Counter "exchange_missed" "Milestones or messages that were not here any more when they were to be read";
    }

    /// A broker that is a process of its own, or a part of one.
    BrokerPartMetrics "Part of a site: broker" {
        services: Gauge "part_broker_services_connected" "Parts of the site that are connected";
        held: Gauge "part_broker_held" "Publishes that wait for the part that keeps them";
        kept: Counter "part_broker_kept" "Publishes that a part of the site has kept";
        refused: Counter "part_broker_refused" "Publishes refused because nobody keeps them now";
        doubtful: Counter "part_broker_doubtful" "Publishes whose keeper did not answer in time";
        missed: Counter "part_broker_missed" "Copies that a part of the site did not get in time";
        closed: Counter "part_broker_access_closed" "Connections closed because the right to be there ended";
    }

    /// A cache that is a process of its own, or a part of one.
    CachePartMetrics "Part of a site: cache" {
        connected: Gauge "part_cache_connected" "1 while publishes can arrive";
        pending: Gauge "part_cache_pending" "Readings that wait to be published";
        pending_bytes: Gauge "part_cache_pending_bytes" "About how many bytes they take on disk";
        limit_bytes: Gauge "part_cache_limit_bytes" "How many they may take";
        alarm: Gauge "part_cache_alarm" "1 while the cache is full or nearly so";
        ahead: Gauge "part_cache_ahead" "Published readings that wait for earlier ones to be forgotten";
        kept: Counter "part_cache_readings_kept" "Readings kept";
        duplicates: Counter "part_cache_publishes_duplicate" "Publishes recognised as kept before";
        malformed: Counter "part_cache_publishes_malformed" "Publishes that mean nothing";
        refused: Counter "part_cache_publishes_refused" "Publishes that could not be kept and were not acknowledged";
        noticed: Counter "part_cache_readings_noticed" "Readings named by notices";
        dropped: Counter "part_cache_notices_dropped" "Names of published readings dropped for want of room";
        sent: Counter "part_cache_readings_sent" "Readings sent as pending";
        rounds: Counter "part_cache_rounds" "Times that what is pending was sent";
    }

    /// A fog processor that is a process of its own, or a part of one.
    FogPartMetrics "Part of a site: fog processor" {
        connected: Gauge "part_fog_connected" "1 while publishes can arrive and leave";
        intake_pending: Gauge "part_fog_intake_pending" "Readings that arrived and are not processed";
        stalled: Gauge "part_fog_stalled" "1 while results cannot be kept";
        accepted: Counter "part_fog_publishes_accepted" "Publishes stored";
        duplicates: Counter "part_fog_publishes_duplicate" "Publishes recognised as seen before";
        rejected: Counter "part_fog_publishes_rejected" "Publishes with a malformed payload";
        refused_in: Counter "part_fog_publishes_refused" "Publishes not acknowledged";
        published: Counter "part_fog_published" "Publishes that the broker acknowledged";
        refused_out: Counter "part_fog_refused" "Publishes that the broker did not take for now";
        readings_in: Counter "part_fog_readings_in" "Readings processed";
        commands: Counter "part_fog_commands" "Commands to actuators";
    }

    /// An MQTT-SN gateway that is a process of its own, or a part of one.
    MqttSnPartMetrics "Part of a site: MQTT-SN gateway" {
        clients: Gauge "part_mqttsn_clients" "Clients of the MQTT-SN gateway";
        publishes_in: Counter "part_mqttsn_publishes_in" "Publishes of its clients";
        publishes_out: Counter "part_mqttsn_publishes_out" "Publishes to its clients";
        lost: Counter "part_mqttsn_lost" "Clients that fell silent";
        malformed: Counter "part_mqttsn_malformed" "Datagrams that mean nothing";
    }
}
