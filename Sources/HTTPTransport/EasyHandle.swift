// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

internal import CCurl

/// A setting that curl refused: a defect here, or a value with something curl does not take.
struct CurlRefusal: Error {
    var code: CURLcode
}

/// A curl easy handle with everything that must live as long as it does.
///
/// Its callbacks receive `context`, which is retained once here and released once when the handle is gone.
struct EasyHandle: ~Copyable {
    let pointer: UnsafeMutableRawPointer
    private let context: Unmanaged<AnyObject>
    private let errorBuffer: UnsafeMutablePointer<CChar>
    private var headerList: UnsafeMutablePointer<curl_slist>?

    init(context: AnyObject) throws(CurlRefusal) {
        guard let pointer = curl_easy_init() else { throw CurlRefusal(code: CURLE_FAILED_INIT) }
        self.pointer = pointer
        self.context = Unmanaged.passRetained(context)
        errorBuffer = .allocate(capacity: Int(CURL_ERROR_SIZE))
        errorBuffer.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
        airboss_easy_set_pointer(pointer, CURLOPT_ERRORBUFFER, errorBuffer)
    }

    deinit {
        // The clean-up may still call back, so the context goes after it.
        curl_easy_cleanup(pointer)
        curl_slist_free_all(headerList)
        errorBuffer.deallocate()
        context.release()
    }

    /// What callbacks get as their context.
    var contextPointer: UnsafeMutableRawPointer { context.toOpaque() }

    /// curl's own words about what went wrong; empty where it had none. Not redacted.
    var errorText: String { String(cString: errorBuffer) }

    func set(_ option: CURLoption, _ value: Int) throws(CurlRefusal) {
        try accept(airboss_easy_set_long(pointer, option, value))
    }

    func set(_ option: CURLoption, _ value: Bool) throws(CurlRefusal) {
        try accept(airboss_easy_set_long(pointer, option, value ? 1 : 0))
    }

    func set(_ option: CURLoption, offset value: Int64) throws(CurlRefusal) {
        try accept(airboss_easy_set_offset(pointer, option, curl_off_t(value)))
    }

    func set(_ option: CURLoption, _ value: String) throws(CurlRefusal) {
        // A C string would silently end at a NUL, and mean something else.
        guard !value.utf8.contains(0) else { throw CurlRefusal(code: CURLE_BAD_FUNCTION_ARGUMENT) }
        try accept(airboss_easy_set_string(pointer, option, value))
    }

    func set(_ option: CURLoption, blob: [UInt8]) throws(CurlRefusal) {
        try accept(blob.withUnsafeBytes { airboss_easy_set_blob(pointer, option, $0.baseAddress, $0.count) })
    }

    func setContext(_ option: CURLoption) throws(CurlRefusal) {
        try accept(airboss_easy_set_pointer(pointer, option, contextPointer))
    }

    /// Sets a list option (header fields, recipients); once for each handle.
    mutating func set(_ option: CURLoption, list: [String]) throws(CurlRefusal) {
        precondition(headerList == nil, "a handle holds one list")
        for entry in list {
            guard !entry.utf8.contains(0), let grown = curl_slist_append(headerList, entry) else {
                throw CurlRefusal(code: CURLE_BAD_FUNCTION_ARGUMENT)
            }
            headerList = grown
        }
        try accept(airboss_easy_set_pointer(pointer, option, headerList))
    }

    func long(_ info: CURLINFO) -> Int {
        var value = 0
        airboss_easy_get_long(pointer, info, &value)
        return value
    }

    func offset(_ info: CURLINFO) -> Int64 {
        var value: curl_off_t = 0
        airboss_easy_get_offset(pointer, info, &value)
        return Int64(value)
    }

    func accept(_ code: CURLcode) throws(CurlRefusal) {
        guard code == CURLE_OK else { throw CurlRefusal(code: code) }
    }
}

extension EasyHandle {
    /// What HTTP and mail have in common: no signals, verified TLS, and limits on time.
    func setCommonOptions(
        timeouts: HTTPTimeouts, remaining: Duration, authorities: CertificateAuthorities?
    ) throws(CurlRefusal) {
        try set(CURLOPT_NOSIGNAL, true)
        try accept(airboss_easy_abandon_resolver(pointer))
        try accept(airboss_easy_close_sockets_on_exec(pointer))
        // These are curl's defaults. They are repeated so that no changed default can switch verification off.
        try set(CURLOPT_SSL_VERIFYPEER, 1)
        try set(CURLOPT_SSL_VERIFYHOST, 2)
        try set(CURLOPT_PROXY_SSL_VERIFYPEER, 1)
        try set(CURLOPT_PROXY_SSL_VERIFYHOST, 2)
        try set(CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2)
        if let authorities {
            try set(CURLOPT_CAINFO_BLOB, blob: authorities.bundle)
            try set(CURLOPT_PROXY_CAINFO_BLOB, blob: authorities.bundle)
        }
        try set(CURLOPT_CONNECTTIMEOUT_MS, min(timeouts.connect, remaining).millisecondsForCurl)
        try set(CURLOPT_TIMEOUT_MS, remaining.millisecondsForCurl)
        try set(CURLOPT_LOW_SPEED_LIMIT, 1)
        try set(CURLOPT_LOW_SPEED_TIME, timeouts.stall.secondsForCurl)
        try set(CURLOPT_TCP_KEEPALIVE, true)
    }
}

extension Duration {
    /// At least 1, as 0 would mean "no limit" to curl; at most about 24 days, which fits every `long`.
    var millisecondsForCurl: Int {
        let (seconds, attoseconds) = components
        guard seconds < 2_000_000 else { return 2_000_000_000 }
        return max(1, Int(seconds) * 1000 + Int(attoseconds / 1_000_000_000_000_000))
    }

    /// Rounded up to whole seconds; at least 1.
    var secondsForCurl: Int {
        let (seconds, attoseconds) = components
        return max(1, Int(min(seconds, 2_000_000)) + (attoseconds > 0 ? 1 : 0))
    }

    /// A number with its unit, for people.
    var shown: String {
        let milliseconds = millisecondsForCurl
        return milliseconds % 1000 == 0 ? "\(milliseconds / 1000) s" : "\(milliseconds) ms"
    }
}
