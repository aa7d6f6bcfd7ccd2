/* The little the crate needs of Mbed TLS, without its struct layouts: those depend on how the library was configured. */
#ifndef DOTS_SHIM_H
#define DOTS_SHIM_H

#include <stddef.h>
#include <stdint.h>

struct dots_credentials;
struct dots_channel;

/* How a channel asks its owner. Every pointer is valid during the call only. */
struct dots_hooks {
	/* One datagram for the network, one message of the peer. */
	void (*send)(void *owner, const uint8_t *datagram, size_t length);
	void (*deliver)(void *owner, const uint8_t *message, size_t length);
	/* 0, or there is no randomness. */
	int (*random)(void *owner, uint8_t *bytes, size_t length);
	/* A certificate of the peer's, the leaf first; and what is wrong with all of them, in verification flags. */
	void (*certificate)(void *owner, const uint8_t *der, size_t length);
	uint32_t (*verdict)(void *owner);
	/* The server's: lengths, or negative where there is none. */
	int (*psk)(void *owner, const uint8_t *identity, size_t length, uint8_t *key, size_t room);
	int (*cookie)(void *owner, uint8_t *cookie, size_t room);
	int (*check_cookie)(void *owner, const uint8_t *cookie, size_t length);
	int (*seal)(void *owner, const uint8_t *session, size_t length, uint8_t *ticket, size_t room);
	int (*open)(void *owner, const uint8_t *ticket, size_t length, uint8_t *session, size_t room);
};

/* What a server verifies the reachability of, and what a client wants. */
struct dots_client {
	/* The name to ask for, or NULL. */
	const char *name;
	/* Instead of certificates. */
	const uint8_t *psk;
	size_t psk_length;
	const uint8_t *identity;
	size_t identity_length;
	/* What dots_channel_session wrote. */
	const uint8_t *session;
	size_t session_length;
};

struct dots_credentials *dots_credentials_new(void);
void dots_credentials_free(struct dots_credentials *credentials);
int dots_credentials_own(struct dots_credentials *credentials, const uint8_t *der, size_t length);
/* After the own certificate; MBEDTLS_ERR_PK_TYPE_MISMATCH when it is the key of another. */
int dots_credentials_key(struct dots_credentials *credentials, const uint8_t *der, size_t length,
			 int (*random)(void *, uint8_t *, size_t), void *owner);

/* Whether a signature over a message is a key's: bits of curve and hash, the point of the key. */
int dots_verify_ecdsa(int curve, int hash, const uint8_t *key, size_t key_length, const uint8_t *message,
		      size_t message_length, const uint8_t *signature, size_t signature_length);

/* Both need `credentials`, `hooks` and `owner` to outlive the channel. NULL with the reason in `error`. */
struct dots_channel *dots_channel_client(const struct dots_credentials *credentials, const struct dots_hooks *hooks,
					 void *owner, const struct dots_client *client, size_t mtu, int *error);
struct dots_channel *dots_channel_server(const struct dots_credentials *credentials, const struct dots_hooks *hooks,
					 void *owner, int has_psk, size_t mtu, int *error);
void dots_channel_free(struct dots_channel *channel);

/* Takes one datagram, or none when something is due; `now` in milliseconds. 0, or the error that ended the channel. */
int dots_channel_handle(struct dots_channel *channel, uint64_t now, const uint8_t *datagram, size_t length);
int dots_channel_write(struct dots_channel *channel, const uint8_t *message, size_t length);
void dots_channel_close(struct dots_channel *channel);
int dots_channel_is_established(const struct dots_channel *channel);
/* When dots_channel_handle is due; UINT64_MAX for never. */
uint64_t dots_channel_due(const struct dots_channel *channel);
/* The longest message that fits a datagram. */
size_t dots_channel_room(const struct dots_channel *channel);
/* The fatal alert the peer sent. */
uint8_t dots_channel_alert(const struct dots_channel *channel);
/* Writes what a later client resumes from, once; its length, 0 where there is nothing. */
size_t dots_channel_session(struct dots_channel *channel, uint8_t *session, size_t room);

#endif
