/** The number of ms for which a client may go on sending an upload that is answered unread: Go's figure. */
export const LINGER = 500;
