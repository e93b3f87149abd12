// Every reason that can leave a server, once: X(NAME, gRPC status code, what it means).
// docs/errors.md is made from this list and a test compares the two. Clients branch on the name.
#pragma once

#define IM_REASONS(X)                                                                            \
  /* Tokens and devices. */                                                                      \
  X(TOKEN_MISSING, kUnauthenticated, "The call needs an access token and carries none.")         \
  X(TOKEN_INVALID, kUnauthenticated, "The access token is malformed, forged or of another key.") \
  X(TOKEN_EXPIRED, kUnauthenticated, "The access token has expired: refresh it.")                \
  X(DEVICE_REVOKED, kUnauthenticated, "The device was logged out or revoked.")                   \
  X(REFRESH_TOKEN_INVALID, kUnauthenticated,                                                     \
    "The refresh token is unknown or expired, or its device is gone: log in again.")             \
  X(REFRESH_TOKEN_REUSED, kUnauthenticated,                                                      \
    "The refresh token was used before; somebody may hold a copy, so the device was ended.")     \
  X(DEVICE_NOT_FOUND, kNotFound, "The caller has no such device.")                               \
  /* Accounts. */                                                                                \
  X(REGISTRATION_CLOSED, kPermissionDenied, "This server makes accounts by its operator only.")  \
  X(USER_NAME_INVALID, kInvalidArgument, "A user name is 3 to 32 of a-z 0-9 _ . -")              \
  X(USER_NAME_TAKEN, kAlreadyExists, "Somebody else has this user name.")                        \
  X(PASSWORD_REFUSED, kInvalidArgument, "The password breaks a rule; the violations say which.") \
  X(WRONG_CREDENTIALS, kUnauthenticated, "User name or password is wrong.")                      \
  X(LOGIN_LOCKED, kResourceExhausted,                                                            \
    "Too many wrong passwords for this name; RetryInfo says when it opens.")                     \
  X(ACCOUNT_LOCKED, kPermissionDenied, "The operator has locked this account.")                  \
  X(USER_NOT_FOUND, kNotFound, "No such user.")                                                  \
  /* Contacts. */                                                                                \
  X(SELF_NOT_ALLOWED, kInvalidArgument, "This cannot be done with oneself.")                     \
  X(RECIPIENT_REFUSES, kPermissionDenied, "They do not take this from the caller.")              \
  X(BLOCKED_BY_CALLER, kFailedPrecondition, "The caller has blocked them: unblock them first.")  \
  X(TOO_MANY_CONTACTS, kFailedPrecondition, "One of the two has as many contacts as allowed.")   \
  X(REQUEST_NOT_FOUND, kNotFound, "There is no open contact request between the two.")           \
  X(CONTACT_NOT_FOUND, kNotFound, "They are not a contact.")                                     \
  /* Conversations and messages. */                                                              \
  X(CONVERSATION_NOT_FOUND, kNotFound, "The caller has no such conversation.")                   \
  X(NOT_A_MEMBER, kPermissionDenied, "The caller has left the conversation.")                    \
  X(NOT_A_GROUP, kFailedPrecondition, "This can be done in groups only.")                        \
  X(NOT_ALLOWED, kPermissionDenied, "The caller's role does not allow this.")                    \
  X(MEMBER_REFUSED, kPermissionDenied,                                                           \
    "Some people cannot be added by the caller; metadata user_ids names up to 100 of them.")     \
  X(MEMBER_NOT_FOUND, kNotFound, "They are not a member.")                                       \
  X(TOO_MANY_MEMBERS, kFailedPrecondition, "The group would be larger than allowed.")            \
  X(TITLE_INVALID, kInvalidArgument,                                                             \
    "A title is 1 to 128 characters in one line, not only blanks.")                              \
  X(REQUEST_ID_INVALID, kInvalidArgument, "A request_id is 16 bytes.")                           \
  X(REQUEST_ID_REUSED, kAlreadyExists, "This request_id was used for another request.")          \
  X(CONTENT_MISSING, kInvalidArgument, "A message needs content.")                               \
  X(UNSUPPORTED_CONTENT, kInvalidArgument, "The server does not know this kind of content.")     \
  X(TEXT_EMPTY, kInvalidArgument, "Text is 1 to 16,384 bytes.")                                  \
  X(TEXT_TOO_LONG, kInvalidArgument, "Text is 1 to 16,384 bytes.")                               \
  X(TEXT_INVALID, kInvalidArgument, "Text is UTF-8 without NUL.")                                \
  /* Presence. */                                                                                \
  X(STATUS_INVALID, kInvalidArgument, "A status is ONLINE, AWAY, BUSY or INVISIBLE.")            \
  X(NOT_CONNECTED, kFailedPrecondition, "The calling device holds no stream.")                   \
  /* Requests as such. */                                                                        \
  X(INVALID_FIELD, kInvalidArgument, "A field is out of its bounds; the violations say which.")  \
  X(PAGE_TOKEN_INVALID, kInvalidArgument, "The page token is not one this list gave out.")       \
  X(MALFORMED_REQUEST, kInvalidArgument, "The bytes are not the message of this call.")          \
  X(REQUEST_TOO_LARGE, kResourceExhausted, "The request is larger than the server takes.")       \
  X(UNKNOWN_METHOD, kUnimplemented, "The server has no such method.")                            \
  X(COMPRESSION_UNSUPPORTED, kUnimplemented, "The server does not know how this is compressed.") \
  X(PROTOCOL_VIOLATION, kInvalidArgument, "The client broke the rules of the stream.")           \
  X(SESSION_NOT_FOUND, kNotFound, "The calling device has no such stream here.")                 \
  /* Limits and failures. */                                                                     \
  X(RATE_LIMITED, kResourceExhausted, "Too many calls of this kind; wait as RetryInfo says.")    \
  X(TOO_MANY_STREAMS, kResourceExhausted, "The account holds as many streams as allowed.")       \
  X(OVERLOADED, kResourceExhausted, "The server has more work than it can take; try later.")     \
  X(CONVERSATION_BUSY, kUnavailable, "The conversation is locked at the moment; try again.")     \
  X(OUTCOME_UNKNOWN, kUnavailable,                                                               \
    "The database was lost while it stored; try again with the same request_id.")                \
  X(DATABASE_UNAVAILABLE, kUnavailable, "The database cannot be reached; try again.")            \
  X(SERVICE_UNAVAILABLE, kUnavailable, "The service behind the gateway cannot be reached.")      \
  X(SHUTTING_DOWN, kUnavailable, "The server is being restarted; try again.")                    \
  X(DEADLINE_EXCEEDED, kDeadlineExceeded, "It took longer than the caller's deadline.")          \
  X(CANCELLED, kCancelled, "The caller gave up.")                                                \
  X(INTERNAL, kInternal, "A defect of the server; the message holds an id for its log.")
