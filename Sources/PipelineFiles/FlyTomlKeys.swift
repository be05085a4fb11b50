// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

/// The keys of fly.toml. Source: Fly's configuration reference, and flyctl's own idea of the file.
enum FlyTomlKeys {
    static let document = "fly.toml"

    private static let text = Shape.text(.plain)
    private static let texts = Shape.list(.text(.plain))
    private static let port = Shape.integer(1...65_535)
    private static let processes = Key("processes", texts)
    private static let secondsOrText = Shape.flyDuration(unit: .seconds(1))
    private static let millisecondsOrText = Shape.flyDuration(unit: .milliseconds(1))
    private static let free = Shape.map(.scalarText(TextRule(form: .possiblyEmpty)))
    private static let size = Shape.scalarText(.plain)

    /// flyctl takes one table where several are possible.
    private static func tables(_ section: Section) -> Shape {
        .either([.list(.section(section)), .section(section)])
    }

    static let root = Section(
        "",
        [
            Key("app", text),
            Key("primary_region", text),
            Key("kill_signal", text),
            Key("kill_timeout", secondsOrText),
            Key("swap_size_mb", .integer(0...1_000_000)),
            .unsupported("host_dedication_id", "machines are not moved between hosts; move them with flyctl"),
            .irrelevant("console_command"),
            .irrelevant("build"),
            Key("deploy", .section(deploy)),
            Key("env", free),
            Key("processes", .map(.text(TextRule(form: .possiblyEmpty)))),
            Key("experimental", .section(experimental)),
            Key("http_service", .section(httpService)),
            Key("services", tables(service)),
            Key("checks", .map(.section(check))),
            Key("mounts", tables(mount)),
            Key("metrics", tables(metrics)),
            Key("statics", tables(statics)),
            Key("files", tables(file)),
            Key("restart", tables(restart)),
            Key("vm", tables(vm)),
            .unsupported("machine_config", "describe the machines with fly.toml's own sections"),
            .unsupported("container", "describe the machines with fly.toml's own sections"),
            .unsupported("machine_checks", "use the pipeline's verify section"),
        ])

    static let deploy = Section(
        "deploy",
        [
            Key("strategy", text),
            Key("max_unavailable", .number),
            Key("wait_timeout", secondsOrText),
            .unsupported("release_command", "release commands are not supported yet; run it before the deployment"),
            .unsupported("seed_command", "seed commands are not supported yet; run it once by hand"),
            .irrelevant("release_command_timeout"),
            .irrelevant("release_command_vm"),
        ])

    static let experimental = Section(
        "experimental",
        [
            Key("cmd", .either([texts, text])),
            Key("entrypoint", .either([texts, text])),
            Key("exec", .either([texts, text])),
            .irrelevant("auto_rollback"),
            .irrelevant("allowed_public_ports"),
            .irrelevant("lazy_load_images"),
            .irrelevant("private_network"),
            .unsupported("enable_consul", "attach Consul once with flyctl, and remove the key"),
            .unsupported("enable_etcd", "attach etcd once with flyctl, and remove the key"),
            .unsupported("attached", "set the secrets with flyctl, and remove the section"),
            .unsupported("machine_config", "describe the machines with fly.toml's own sections"),
            .unsupported("kill_timeout", "write kill_timeout at the top of the file"),
            .unsupported("metrics_port", "write port in [metrics]"),
            .unsupported("metrics_path", "write path in [metrics]"),
        ])

    static let concurrency = Section(
        "concurrency",
        [
            Key("type", .choice(["requests", "connections"])),
            Key("soft_limit", .integer(0...10_000_000)),
            Key("hard_limit", .integer(0...10_000_000)),
        ])

    static let tlsOptions = Section(
        "tls_options", [Key("alpn", texts), Key("versions", texts), Key("default_self_signed", .boolean)])

    static let httpOptions = Section(
        "http_options",
        [
            Key("compress", .boolean),
            Key("h2_backend", .boolean),
            Key("idle_timeout", .integer(0...1_000_000)),
            Key("headers_read_timeout", .integer(0...1_000_000)),
            Key("replay_cache", .anything),
            Key("response", .section(response)),
        ])

    static let response = Section("http_options.response", [Key("headers", .anything), Key("pristine", .boolean)])
    static let proxyProtocol = Section("proxy_proto_options", [Key("version", text)])

    private static let scaling = [
        Key("internal_port", port, required: true),
        Key("auto_stop_machines", .either([.boolean, .choice(["off", "stop", "suspend"])])),
        Key("auto_start_machines", .boolean),
        Key("min_machines_running", .integer(0...10_000)),
        Key("concurrency", .section(concurrency)),
        processes,
        .unsupported("machine_checks", "use the pipeline's verify section"),
    ]

    static let httpService = Section(
        "http_service",
        scaling + [
            Key("force_https", .boolean),
            Key("tls_options", .section(tlsOptions)),
            Key("http_options", .section(httpOptions)),
            Key("checks", tables(httpCheck)),
        ])

    static let service = Section(
        "services",
        scaling + [
            Key("protocol", .choice(["tcp", "udp"])),
            Key("ports", tables(servicePort)),
            Key("tcp_checks", tables(tcpCheck)),
            Key("http_checks", tables(httpCheck)),
        ])

    static let servicePort = Section(
        "services.ports",
        [
            Key("port", port),
            Key("start_port", port),
            Key("end_port", port),
            Key("handlers", .list(.choice(["http", "tls", "pg_tls", "proxy_proto", "edge_http"]))),
            Key("force_https", .boolean),
            Key("tls_options", .section(tlsOptions)),
            Key("http_options", .section(httpOptions)),
            Key("proxy_proto_options", .section(proxyProtocol)),
        ])

    private static let pace = [
        Key("interval", millisecondsOrText),
        Key("timeout", millisecondsOrText),
        Key("grace_period", millisecondsOrText),
    ]

    private static let request = [
        Key("method", text),
        Key("path", text),
        Key("protocol", .choice(["http", "https"])),
        Key("tls_skip_verify", .boolean),
        Key("tls_server_name", text),
        Key("headers", free),
    ]

    static let tcpCheck = Section("tcp_checks", pace)
    static let httpCheck = Section("checks", pace + request)
    static let check = Section(
        "checks",
        pace + request + [Key("type", .choice(["http", "tcp"]), required: true), Key("port", port), processes]
    )

    static let mount = Section(
        "mounts",
        [
            Key("source", text, required: true),
            Key("destination", .text(.absolutePath), required: true),
            Key("auto_extend_size_threshold", .integer(50...99)),
            Key("auto_extend_size_increment", size),
            Key("auto_extend_size_limit", size),
            // These describe a volume when it is made, which deployments don't do.
            .irrelevant("initial_size"),
            .irrelevant("snapshot_retention"),
            .irrelevant("scheduled_snapshots"),
            processes,
        ])

    static let metrics = Section(
        "metrics",
        [
            Key("port", port, required: true), Key("path", .text(.path), required: true), Key("https", .boolean),
            processes,
        ]
    )

    static let statics = Section(
        "statics",
        [
            Key("guest_path", text, required: true),
            Key("url_prefix", text, required: true),
            Key("tigris_bucket", text),
            Key("index_document", text),
        ])

    static let file = Section(
        "files",
        [
            Key("guest_path", .text(.absolutePath), required: true),
            Key("local_path", text),
            Key("secret_name", text),
            Key("raw_value", text),
            processes,
        ])

    static let restart = Section(
        "restart",
        [
            Key("policy", .choice(["always", "never", "on-failure"]), required: true),
            Key("retries", .integer(0...10_000)),
            processes,
        ])

    static let vm = Section(
        "vm",
        [
            Key("size", .choice(GuestSizes.names)),
            Key("memory", size),
            Key("cpu_kind", .choice(["shared", "performance"])),
            Key("cpus", .integer(1...128)),
            Key("memory_mb", .integer(1...1_000_000)),
            Key("gpus", .integer(0...16)),
            Key("gpu_kind", text),
            Key("kernel_args", texts),
            .unsupported("host_dedication_id", "machines are not moved between hosts; move them with flyctl"),
            Key("persist_rootfs", .choice(["never", "always", "restart"])),
            processes,
        ])
}
