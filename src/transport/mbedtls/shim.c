/* See shim.h. */
#include "shim.h"

#include <stdlib.h>
#include <string.h>

#include <mbedtls/ecdsa.h>
#include <mbedtls/md.h>
#include <mbedtls/pk.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>

#if MBEDTLS_VERSION_NUMBER < 0x03060000 || MBEDTLS_VERSION_NUMBER >= 0x04000000
#error "Mbed TLS 3.6 is needed"
#endif
#if !defined(MBEDTLS_SSL_PROTO_DTLS) || !defined(MBEDTLS_SSL_CLI_C)
#error "this Mbed TLS is built without DTLS"
#endif

/* A session without certificates; some libraries keep them in it. */
#define LONGEST_SESSION 8192
/* What clients are told about tickets. */
#define TICKET_SECONDS 86400

struct dots_credentials {
	mbedtls_x509_crt own;
	/* Nobody: without a list the library would refuse before it asks. */
	mbedtls_x509_crt trusted;
	mbedtls_pk_context key;
};

struct dots_channel {
	mbedtls_ssl_context ssl;
	mbedtls_ssl_config config;
	const struct dots_credentials *credentials;
	const struct dots_hooks *hooks;
	void *owner;
	const uint8_t *input;
	size_t input_length;
	uint64_t now;
	uint64_t due;
};

/* Authenticated encryption only (RFC 9132 section 11), forward secrecy first; at the end the floors of RFC 7252
 * section 9.1.3. What the library lacks it skips. */
#define CERTIFICATE_SUITES                                                                                             \
	MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,                \
		MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,        \
		MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,                                                 \
		MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8
#define PSK_SUITES                                                                                                     \
	MBEDTLS_TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256, MBEDTLS_TLS_PSK_WITH_AES_128_GCM_SHA256,                  \
		MBEDTLS_TLS_PSK_WITH_AES_256_GCM_SHA384, MBEDTLS_TLS_PSK_WITH_AES_128_CCM_8

static const int WITH_CERTIFICATES[] = { CERTIFICATE_SUITES, 0 };
static const int WITH_PSK[] = { PSK_SUITES, 0 };

struct dots_credentials *dots_credentials_new(void)
{
	struct dots_credentials *credentials = calloc(1, sizeof(*credentials));

	if (credentials == NULL)
		return NULL;
	mbedtls_x509_crt_init(&credentials->own);
	mbedtls_x509_crt_init(&credentials->trusted);
	mbedtls_pk_init(&credentials->key);
	return credentials;
}

void dots_credentials_free(struct dots_credentials *credentials)
{
	mbedtls_x509_crt_free(&credentials->own);
	mbedtls_x509_crt_free(&credentials->trusted);
	mbedtls_pk_free(&credentials->key);
	free(credentials);
}

int dots_credentials_own(struct dots_credentials *credentials, const uint8_t *der, size_t length)
{
	return mbedtls_x509_crt_parse_der(&credentials->own, der, length);
}

int dots_credentials_key(struct dots_credentials *credentials, const uint8_t *der, size_t length,
			 int (*random)(void *, uint8_t *, size_t), void *owner)
{
	int ret = mbedtls_pk_parse_key(&credentials->key, der, length, NULL, 0, random, owner);

	if (ret == 0 && mbedtls_pk_check_pair(&credentials->own.pk, &credentials->key, random, owner) != 0)
		ret = MBEDTLS_ERR_PK_TYPE_MISMATCH;
	return ret;
}

int dots_verify_ecdsa(int curve, int hash, const uint8_t *key, size_t key_length, const uint8_t *message,
		      size_t message_length, const uint8_t *signature, size_t signature_length)
{
	mbedtls_ecp_group_id id = curve == 256 ? MBEDTLS_ECP_DP_SECP256R1 :
				  curve == 384 ? MBEDTLS_ECP_DP_SECP384R1 :
						 MBEDTLS_ECP_DP_SECP521R1;
	mbedtls_md_type_t kind = hash == 256 ? MBEDTLS_MD_SHA256 : hash == 384 ? MBEDTLS_MD_SHA384 : MBEDTLS_MD_SHA512;
	const mbedtls_md_info_t *info = mbedtls_md_info_from_type(kind);
	unsigned char digest[MBEDTLS_MD_MAX_SIZE];
	mbedtls_ecdsa_context context;
	mbedtls_ecp_group *group = &context.MBEDTLS_PRIVATE(grp);
	mbedtls_ecp_point *point = &context.MBEDTLS_PRIVATE(Q);
	int ret;

	mbedtls_ecdsa_init(&context);
	ret = info == NULL ? MBEDTLS_ERR_MD_FEATURE_UNAVAILABLE : mbedtls_ecp_group_load(group, id);
	if (ret == 0)
		ret = mbedtls_ecp_point_read_binary(group, point, key, key_length);
	if (ret == 0)
		ret = mbedtls_ecp_check_pubkey(group, point);
	if (ret == 0)
		ret = mbedtls_md(info, message, message_length, digest);
	if (ret == 0)
		ret = mbedtls_ecdsa_read_signature(&context, digest, mbedtls_md_get_size(info), signature, signature_length);
	mbedtls_ecdsa_free(&context);
	return ret;
}

static int on_send(void *context, const unsigned char *datagram, size_t length)
{
	struct dots_channel *channel = context;

	channel->hooks->send(channel->owner, datagram, length);
	return (int)length;
}

static int on_receive(void *context, unsigned char *buffer, size_t room)
{
	struct dots_channel *channel = context;
	size_t length = channel->input_length;

	channel->input_length = 0;
	if (length == 0 || length > room)
		return MBEDTLS_ERR_SSL_WANT_READ;
	memcpy(buffer, channel->input, length);
	return (int)length;
}

static int on_random(void *context, unsigned char *bytes, size_t length)
{
	struct dots_channel *channel = context;

	return channel->hooks->random(channel->owner, bytes, length);
}

static void on_set_timer(void *context, uint32_t intermediate, uint32_t final)
{
	struct dots_channel *channel = context;

	(void)intermediate;
	channel->due = final == 0 ? UINT64_MAX : channel->now + final;
}

static int on_get_timer(void *context)
{
	const struct dots_channel *channel = context;

	if (channel->due == UINT64_MAX)
		return -1;
	return channel->due <= channel->now ? 2 : 0;
}

/* All that was shown is the owner's to judge: the library knows less of chains than those who verify them for TLS. It comes last
 * to the leaf, behind which the others hang as they were sent. */
static int on_certificate(void *context, mbedtls_x509_crt *certificate, int depth, uint32_t *flags)
{
	struct dots_channel *channel = context;

	*flags = 0;
	if (depth != 0)
		return 0;
	for (; certificate != NULL; certificate = certificate->next)
		channel->hooks->certificate(channel->owner, certificate->raw.p, certificate->raw.len);
	*flags = channel->hooks->verdict(channel->owner);
	return 0;
}

static struct dots_channel *channel_new(const struct dots_credentials *credentials, const struct dots_hooks *hooks,
					void *owner, int endpoint, const int *suites, int *error)
{
	struct dots_channel *channel = calloc(1, sizeof(*channel));

	*error = MBEDTLS_ERR_SSL_ALLOC_FAILED;
	if (channel == NULL)
		return NULL;
	channel->credentials = credentials;
	channel->hooks = hooks;
	channel->owner = owner;
	channel->due = UINT64_MAX;
	mbedtls_ssl_init(&channel->ssl);
	mbedtls_ssl_config_init(&channel->config);
	*error = mbedtls_ssl_config_defaults(&channel->config, endpoint, MBEDTLS_SSL_TRANSPORT_DATAGRAM,
					     MBEDTLS_SSL_PRESET_DEFAULT);
	mbedtls_ssl_conf_min_tls_version(&channel->config, MBEDTLS_SSL_VERSION_TLS1_2);
	mbedtls_ssl_conf_max_tls_version(&channel->config, MBEDTLS_SSL_VERSION_TLS1_2);
	mbedtls_ssl_conf_authmode(&channel->config, MBEDTLS_SSL_VERIFY_REQUIRED);
	mbedtls_ssl_conf_ciphersuites(&channel->config, suites);
	mbedtls_ssl_conf_rng(&channel->config, on_random, channel);
	mbedtls_ssl_conf_verify(&channel->config, on_certificate, channel);
	mbedtls_ssl_conf_ca_chain(&channel->config, (mbedtls_x509_crt *)&credentials->trusted, NULL);
#if defined(MBEDTLS_SSL_RENEGOTIATION)
	mbedtls_ssl_conf_renegotiation(&channel->config, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
#endif
	if (*error == 0 && credentials->own.raw.len != 0)
		*error = mbedtls_ssl_conf_own_cert(&channel->config, (mbedtls_x509_crt *)&credentials->own,
						   (mbedtls_pk_context *)&credentials->key);
	return channel;
}

static struct dots_channel *channel_set_up(struct dots_channel *channel, size_t mtu, int *error)
{
	if (*error == 0)
		*error = mbedtls_ssl_setup(&channel->ssl, &channel->config);
	if (*error != 0) {
		dots_channel_free(channel);
		return NULL;
	}
	mbedtls_ssl_set_mtu(&channel->ssl, (uint16_t)mtu);
	mbedtls_ssl_set_bio(&channel->ssl, channel, on_send, on_receive, NULL);
	mbedtls_ssl_set_timer_cb(&channel->ssl, channel, on_set_timer, on_get_timer);
	return channel;
}

static int resume(struct dots_channel *channel, const uint8_t *bytes, size_t length)
{
	mbedtls_ssl_session session;
	int ret;

	mbedtls_ssl_session_init(&session);
	ret = mbedtls_ssl_session_load(&session, bytes, length);
	if (ret == 0)
		ret = mbedtls_ssl_set_session(&channel->ssl, &session);
	mbedtls_ssl_session_free(&session);
	return ret;
}

struct dots_channel *dots_channel_client(const struct dots_credentials *credentials, const struct dots_hooks *hooks,
					 void *owner, const struct dots_client *client, size_t mtu, int *error)
{
	struct dots_channel *channel = channel_new(credentials, hooks, owner, MBEDTLS_SSL_IS_CLIENT,
						   client->psk == NULL ? WITH_CERTIFICATES : WITH_PSK, error);

	if (channel == NULL)
		return NULL;
	if (*error == 0 && client->psk != NULL)
#if defined(MBEDTLS_KEY_EXCHANGE_PSK_ENABLED) || defined(MBEDTLS_KEY_EXCHANGE_ECDHE_PSK_ENABLED)
		*error = mbedtls_ssl_conf_psk(&channel->config, client->psk, client->psk_length, client->identity,
					      client->identity_length);
#else
		*error = MBEDTLS_ERR_SSL_FEATURE_UNAVAILABLE;
#endif
	channel = channel_set_up(channel, mtu, error);
	if (channel == NULL)
		return NULL;
	*error = mbedtls_ssl_set_hostname(&channel->ssl, client->name);
	if (*error == 0 && client->session_length != 0)
		*error = resume(channel, client->session, client->session_length);
	if (*error != 0) {
		dots_channel_free(channel);
		return NULL;
	}
	return channel;
}

#if defined(MBEDTLS_SSL_SRV_C) && defined(MBEDTLS_SSL_DTLS_HELLO_VERIFY) && defined(DOTS_SERVER)
static int on_psk(void *context, mbedtls_ssl_context *ssl, const unsigned char *identity, size_t length)
{
	struct dots_channel *channel = context;
	unsigned char key[MBEDTLS_PSK_MAX_LEN];
	int known = channel->hooks->psk(channel->owner, identity, length, key, sizeof(key));

	if (known < 0)
		return MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY;
	return mbedtls_ssl_set_hs_psk(ssl, key, (size_t)known);
}

static int on_cookie(void *context, unsigned char **cookie, unsigned char *end, const unsigned char *info, size_t length)
{
	struct dots_channel *channel = context;
	int written = channel->hooks->cookie(channel->owner, *cookie, (size_t)(end - *cookie));

	(void)info;
	(void)length;
	if (written < 0)
		return MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL;
	*cookie += written;
	return 0;
}

static int on_check_cookie(void *context, const unsigned char *cookie, size_t cookie_length, const unsigned char *info,
			   size_t length)
{
	struct dots_channel *channel = context;

	(void)info;
	(void)length;
	return channel->hooks->check_cookie(channel->owner, cookie, cookie_length);
}

/* An empty ticket is none (RFC 5077 section 3.3): the library must not see an error here, it would send garbage. */
static int on_seal(void *context, const mbedtls_ssl_session *session, unsigned char *start, const unsigned char *end,
		   size_t *length, uint32_t *lifetime)
{
	struct dots_channel *channel = context;
	unsigned char plain[LONGEST_SESSION];
	size_t plain_length = 0;
	int sealed = -1;

	if (mbedtls_ssl_session_save(session, plain, sizeof(plain), &plain_length) == 0)
		sealed = channel->hooks->seal(channel->owner, plain, plain_length, start, (size_t)(end - start));
	mbedtls_platform_zeroize(plain, sizeof(plain));
	*length = sealed < 0 ? 0 : (size_t)sealed;
	*lifetime = TICKET_SECONDS;
	return 0;
}

static int on_open(void *context, mbedtls_ssl_session *session, unsigned char *ticket, size_t length)
{
	struct dots_channel *channel = context;
	unsigned char plain[LONGEST_SESSION];
	int opened = channel->hooks->open(channel->owner, ticket, length, plain, sizeof(plain));
	int ret = MBEDTLS_ERR_SSL_INVALID_MAC;

	if (opened >= 0)
		ret = mbedtls_ssl_session_load(session, plain, (size_t)opened);
	mbedtls_platform_zeroize(plain, sizeof(plain));
	return ret;
}

struct dots_channel *dots_channel_server(const struct dots_credentials *credentials, const struct dots_hooks *hooks,
					 void *owner, int has_psk, size_t mtu, int *error)
{
	static const int with_both[] = { CERTIFICATE_SUITES, PSK_SUITES, 0 };
	struct dots_channel *channel = channel_new(credentials, hooks, owner, MBEDTLS_SSL_IS_SERVER,
						   has_psk ? with_both : WITH_CERTIFICATES, error);

	if (channel == NULL)
		return NULL;
	if (has_psk)
		mbedtls_ssl_conf_psk_cb(&channel->config, on_psk, channel);
	mbedtls_ssl_conf_dtls_cookies(&channel->config, on_cookie, on_check_cookie, channel);
	mbedtls_ssl_conf_session_tickets_cb(&channel->config, on_seal, on_open, channel);
	channel = channel_set_up(channel, mtu, error);
	if (channel == NULL)
		return NULL;
	/* The owner knows whom its cookies are for; the library only insists on something. */
	*error = mbedtls_ssl_set_client_transport_id(&channel->ssl, (const unsigned char *)"", 1);
	if (*error != 0) {
		dots_channel_free(channel);
		return NULL;
	}
	return channel;
}
#endif

void dots_channel_free(struct dots_channel *channel)
{
	mbedtls_ssl_free(&channel->ssl);
	mbedtls_ssl_config_free(&channel->config);
	free(channel);
}

int dots_channel_handle(struct dots_channel *channel, uint64_t now, const uint8_t *datagram, size_t length)
{
	unsigned char message[MBEDTLS_SSL_IN_CONTENT_LEN];
	int ret;

	channel->now = now;
	channel->input = datagram;
	channel->input_length = length;
	/* 0 is an empty message. */
	while ((ret = mbedtls_ssl_read(&channel->ssl, message, sizeof(message))) >= 0)
		if (ret > 0)
			channel->hooks->deliver(channel->owner, message, (size_t)ret);
	channel->input_length = 0;
#if defined(MBEDTLS_SSL_DTLS_CLIENT_PORT_REUSE)
	/* Without cookies the library does not let a hello that anybody has repeated take the place of the session. */
	if (dots_channel_is_established(channel))
		mbedtls_ssl_conf_dtls_cookies(&channel->config, NULL, NULL, NULL);
#endif
	return ret == MBEDTLS_ERR_SSL_WANT_READ ? 0 : ret;
}

int dots_channel_write(struct dots_channel *channel, const uint8_t *message, size_t length)
{
	return mbedtls_ssl_write(&channel->ssl, message, length);
}

void dots_channel_close(struct dots_channel *channel)
{
	mbedtls_ssl_close_notify(&channel->ssl);
}

int dots_channel_is_established(const struct dots_channel *channel)
{
	return mbedtls_ssl_is_handshake_over((mbedtls_ssl_context *)&channel->ssl);
}

uint64_t dots_channel_due(const struct dots_channel *channel)
{
	return channel->due;
}

size_t dots_channel_room(const struct dots_channel *channel)
{
	int room = mbedtls_ssl_get_max_out_record_payload(&channel->ssl);

	return room < 0 ? 0 : (size_t)room;
}

uint8_t dots_channel_alert(const struct dots_channel *channel)
{
	const unsigned char *alert = channel->ssl.MBEDTLS_PRIVATE(in_msg);

	return alert == NULL ? 0 : alert[1];
}

size_t dots_channel_session(struct dots_channel *channel, uint8_t *bytes, size_t room)
{
	mbedtls_ssl_session session;
	size_t length = 0;

	mbedtls_ssl_session_init(&session);
	if (mbedtls_ssl_get_session(&channel->ssl, &session) != 0 ||
	    mbedtls_ssl_session_save(&session, bytes, room, &length) != 0)
		length = 0;
	mbedtls_ssl_session_free(&session);
	return length;
}
