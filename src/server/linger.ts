/**
 * The number of ms for which a client may keep sending an upload after a response that left the upload
 * unread. Go uses the same.
 */
export const LINGER = 500;
