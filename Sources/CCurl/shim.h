// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors
#pragma once
#include <curl/curl.h>
#include <sys/prctl.h>
#include <sys/socket.h>

// Swift cannot call variadic C functions: one wrapper for each kind of argument.

typedef size_t (*airboss_data_callback)(char *data, size_t size, size_t count, void *context);
typedef int (*airboss_seek_callback)(void *context, curl_off_t offset, int origin);
typedef int (*airboss_prereq_callback)(
    void *context, char *remote_ip, char *local_ip, int remote_port, int local_port);
typedef int (*airboss_socket_callback)(void *context, curl_socket_t socket, curlsocktype purpose);
typedef int (*airboss_debug_callback)(
    CURL *easy, curl_infotype kind, char *data, size_t size, void *context);

static inline CURLcode airboss_easy_set_long(CURL *easy, CURLoption option, long value) {
    return curl_easy_setopt(easy, option, value);
}

static inline CURLcode airboss_easy_set_offset(CURL *easy, CURLoption option, curl_off_t value) {
    return curl_easy_setopt(easy, option, value);
}

static inline CURLcode airboss_easy_set_string(CURL *easy, CURLoption option, const char *value) {
    return curl_easy_setopt(easy, option, value);
}

static inline CURLcode airboss_easy_set_pointer(CURL *easy, CURLoption option, void *value) {
    return curl_easy_setopt(easy, option, value);
}

// Copies the bytes, so that they need not outlive the call.
static inline CURLcode airboss_easy_set_blob(CURL *easy, CURLoption option, const void *data, size_t size) {
    struct curl_blob blob = {.data = (void *)data, .len = size, .flags = CURL_BLOB_COPY};
    return curl_easy_setopt(easy, option, &blob);
}

static inline CURLcode airboss_easy_set_data_callback(
    CURL *easy, CURLoption option, airboss_data_callback callback) {
    return curl_easy_setopt(easy, option, callback);
}

static inline CURLcode airboss_easy_set_seek_callback(CURL *easy, airboss_seek_callback callback) {
    return curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, callback);
}

static inline CURLcode airboss_easy_set_prereq_callback(CURL *easy, airboss_prereq_callback callback) {
    return curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, callback);
}

static inline CURLcode airboss_easy_set_socket_callback(CURL *easy, airboss_socket_callback callback) {
    return curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, callback);
}

static inline CURLcode airboss_easy_set_debug_callback(CURL *easy, airboss_debug_callback callback) {
    return curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, callback);
}

// The protocols a transfer may speak, by both of the ways curl has had to say it.
static inline CURLcode airboss_easy_allow_http(CURL *easy) {
#if LIBCURL_VERSION_NUM >= 0x075500
    return curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    return curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

static inline CURLcode airboss_easy_allow_mail(CURL *easy) {
#if LIBCURL_VERSION_NUM >= 0x075500
    return curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
#else
    return curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_SMTP | CURLPROTO_SMTPS));
#endif
}

// Without it, ending a transfer whose name is still being resolved blocks the thread until the resolver answers.
static inline CURLcode airboss_easy_abandon_resolver(CURL *easy) {
#if LIBCURL_VERSION_NUM >= 0x075700
    return curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#else
    (void)easy;
    return CURLE_OK;
#endif
}

static inline curl_socket_t airboss_open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address) {
    (void)context;
    (void)purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

// curl's own sockets would be inherited by every program started meanwhile, and stay open as long as that runs.
static inline CURLcode airboss_easy_close_sockets_on_exec(CURL *easy) {
    return curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, airboss_open_socket);
}

// curl 8.2 corrected the option's spelling.
static inline CURLcode airboss_easy_allow_recipient_failures(CURL *easy) {
    return curl_easy_setopt(easy, CURLOPT_MAIL_RCPT_ALLLOWFAILS, 1L);
}

static inline CURLcode airboss_easy_get_long(CURL *easy, CURLINFO info, long *value) {
    return curl_easy_getinfo(easy, info, value);
}

static inline CURLcode airboss_easy_get_offset(CURL *easy, CURLINFO info, curl_off_t *value) {
    return curl_easy_getinfo(easy, info, value);
}

static inline CURLMcode airboss_multi_set_long(CURLM *multi, CURLMoption option, long value) {
    return curl_multi_setopt(multi, option, value);
}

static inline CURLSHcode airboss_share_data(CURLSH *share, curl_lock_data kind) {
    return curl_share_setopt(share, CURLSHOPT_SHARE, kind);
}

// The name of the calling thread, as debuggers show it; at most 15 bytes.
static inline void airboss_name_thread(const char *name) {
    prctl(PR_SET_NAME, name);
}

// The version information in the newest shape that the headers know: Swift does not see their macro for it.
static inline curl_version_info_data *airboss_version_info(void) {
    return curl_version_info(CURLVERSION_NOW);
}
