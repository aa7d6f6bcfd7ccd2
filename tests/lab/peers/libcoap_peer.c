/* A Call Home DOTS client on libcoap: DTLS or TLS, certificates or a pre-shared key.
 *
 * Usage: libcoap_peer dtls|tls ADDRESS PORT pki CA CERTIFICATE KEY
 *        libcoap_peer dtls|tls ADDRESS PORT psk KEY
 *
 * Says "session" once a router has called, then answers each line "METHOD PATH [HEX]" with "CODE [HEX]". */
#include <arpa/inet.h>
#include <coap3/coap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

#define DOTS_CBOR 271
#define LONGEST 8192

static coap_session_t *router;
static int answered;

static int happened(coap_session_t *session, coap_event_t event)
{
	int ready = coap_session_get_proto(session) == COAP_PROTO_DTLS ? COAP_EVENT_DTLS_CONNECTED
								       : COAP_EVENT_SESSION_CONNECTED;
	if ((int)event == ready && !router) {
		router = coap_session_reference(session);
		puts("session");
	}
	return 0;
}

static coap_response_t respond(coap_session_t *session, const coap_pdu_t *sent, const coap_pdu_t *received,
			       const coap_mid_t id)
{
	size_t length = 0, offset, total;
	const uint8_t *data = NULL;
	coap_pdu_code_t code = coap_pdu_get_code(received);

	(void)session, (void)sent, (void)id;
	coap_get_data_large(received, &length, &data, &offset, &total);
	printf("%d.%02d ", code >> 5, code & 31);
	for (size_t i = 0; i < length; i++)
		printf("%02x", data[i]);
	puts("");
	answered = 1;
	return COAP_RESPONSE_OK;
}

static void heartbeat(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
		      const coap_string_t *query, coap_pdu_t *response)
{
	(void)resource, (void)session, (void)request, (void)query;
	coap_pdu_set_code(response, COAP_RESPONSE_CODE_CHANGED);
}

static void credentials(coap_context_t *context, char **words)
{
	if (!strcmp(words[0], "psk")) {
		coap_dtls_spsk_t psk = { .version = COAP_DTLS_SPSK_SETUP_VERSION };
		psk.psk_info.key.s = (const uint8_t *)words[1];
		psk.psk_info.key.length = strlen(words[1]);
		if (!coap_context_set_psk2(context, &psk))
			exit(1);
		return;
	}
	coap_dtls_pki_t pki = { .version = COAP_DTLS_PKI_SETUP_VERSION, .verify_peer_cert = 1, .check_common_ca = 1,
				.allow_no_crl = 1, .cert_chain_validation = 1, .cert_chain_verify_depth = 3 };
	pki.pki_key.key_type = COAP_PKI_KEY_PEM;
	pki.pki_key.key.pem.ca_file = words[1];
	pki.pki_key.key.pem.public_cert = words[2];
	pki.pki_key.key.pem.private_key = words[3];
	if (!coap_context_set_pki(context, &pki))
		exit(1);
}

/* Sends what the line asks for; the answer comes to respond(). */
static void ask(char *line)
{
	char *method = strtok(line, " \n"), *path = strtok(NULL, " \n"), *hex = strtok(NULL, " \n");
	coap_pdu_code_t code = !strcmp(method, "PUT")	? COAP_REQUEST_CODE_PUT
			       : !strcmp(method, "GET") ? COAP_REQUEST_CODE_GET
							: COAP_REQUEST_CODE_DELETE;
	coap_pdu_type_t type = strstr(path, "config") ? COAP_MESSAGE_CON : COAP_MESSAGE_NON;
	coap_pdu_t *pdu = coap_pdu_init(type, code, coap_new_message_id(router), coap_session_max_pdu_size(router));
	uint8_t token[8], body[LONGEST / 2], number[2];
	size_t token_length, length = 0;

	coap_session_new_token(router, &token_length, token);
	coap_add_token(pdu, token_length, token);
	for (char *part = strtok(path, "/"); part; part = strtok(NULL, "/"))
		coap_add_option(pdu, COAP_OPTION_URI_PATH, strlen(part), (uint8_t *)part);
	if (hex) {
		coap_add_option(pdu, COAP_OPTION_CONTENT_FORMAT, coap_encode_var_safe(number, 2, DOTS_CBOR), number);
		for (; hex[2 * length] && length < sizeof body; length++)
			sscanf(hex + 2 * length, "%2hhx", &body[length]);
		coap_add_data(pdu, length, body);
	}
	answered = 0;
	coap_send(router, pdu);
}

int main(int count, char **words)
{
	coap_address_t listen;
	coap_context_t *context;
	char line[LONGEST];

	if (count < 6)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	coap_startup();
	coap_set_log_level(LOG_EMERG);
	context = coap_new_context(NULL);
	coap_context_set_block_mode(context, COAP_BLOCK_USE_LIBCOAP);
	credentials(context, words + 4);
	coap_address_init(&listen);
	listen.addr.sin.sin_family = AF_INET;
	listen.addr.sin.sin_port = htons(atoi(words[3]));
	inet_pton(AF_INET, words[2], &listen.addr.sin.sin_addr);
	listen.size = sizeof listen.addr.sin;
	if (!coap_new_endpoint(context, &listen, !strcmp(words[1], "tls") ? COAP_PROTO_TLS : COAP_PROTO_DTLS))
		return 1;
	coap_register_event_handler(context, happened);
	coap_register_response_handler(context, respond);
	coap_resource_t *hb = coap_resource_init(coap_make_str_const(".well-known/dots/hb"), 0);
	coap_register_handler(hb, COAP_REQUEST_PUT, heartbeat);
	coap_add_resource(context, hb);
	puts("listening");
	while (!router)
		coap_io_process(context, 100);
	for (;;) {
		fd_set readable;
		struct timeval none = { 0, 0 };

		coap_io_process(context, 20);
		FD_ZERO(&readable);
		FD_SET(STDIN_FILENO, &readable);
		if (answered >= 0 && select(STDIN_FILENO + 1, &readable, NULL, NULL, &none) > 0) {
			if (!fgets(line, sizeof line, stdin))
				break;
			ask(line);
			for (int turns = 0; !answered && turns < 200; turns++)
				coap_io_process(context, 50);
			if (!answered)
				puts("failed no answer");
		}
	}
	coap_free_context(context);
	coap_cleanup();
	return 0;
}
