"""The tables of ``desk.db``, step by step."""

# One entry per schema version, never edited once released.
MIGRATIONS = (
    """
    CREATE TABLE conversations (
        id TEXT PRIMARY KEY, title TEXT NOT NULL, created_at REAL NOT NULL, updated_at REAL NOT NULL,
        model TEXT NOT NULL, priority INTEGER NOT NULL, deleted_at REAL NOT NULL DEFAULT 0
    );
    CREATE TABLE messages (
        id TEXT PRIMARY KEY, conversation_id TEXT NOT NULL, ordinal INTEGER NOT NULL, role TEXT NOT NULL,
        content TEXT NOT NULL, thinking TEXT NOT NULL, job_id TEXT NOT NULL, state TEXT NOT NULL,
        model TEXT NOT NULL, priority INTEGER NOT NULL, stats TEXT NOT NULL, code TEXT NOT NULL,
        detail TEXT NOT NULL, created_at REAL NOT NULL
    );
    CREATE UNIQUE INDEX messages_order ON messages (conversation_id, ordinal);
    CREATE INDEX messages_open ON messages (state) WHERE state IN ('pending', 'unsent');
    """,
    """
    ALTER TABLE conversations ADD COLUMN origin TEXT NOT NULL DEFAULT '';
    ALTER TABLE conversations ADD COLUMN user TEXT NOT NULL DEFAULT '';
    ALTER TABLE conversations ADD COLUMN state TEXT NOT NULL DEFAULT 'active';
    ALTER TABLE conversations ADD COLUMN notes TEXT NOT NULL DEFAULT '';
    ALTER TABLE messages ADD COLUMN notes TEXT NOT NULL DEFAULT '';
    CREATE INDEX conversations_of_user ON conversations (origin, user, created_at);
    CREATE INDEX messages_of_job ON messages (job_id) WHERE job_id != '';
    """,
    """
    CREATE TABLE records (
        number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, name TEXT NOT NULL, tag TEXT NOT NULL,
        data BLOB NOT NULL
    );
    CREATE UNIQUE INDEX records_name ON records (kind, name);
    """,
    """
    ALTER TABLE messages ADD COLUMN parent TEXT NOT NULL DEFAULT '';
    ALTER TABLE messages ADD COLUMN extras TEXT NOT NULL DEFAULT '{}';
    ALTER TABLE conversations ADD COLUMN shown TEXT NOT NULL DEFAULT '';
    ALTER TABLE conversations ADD COLUMN options TEXT NOT NULL DEFAULT '{}';
    CREATE TABLE files (
        id TEXT PRIMARY KEY, conversation_id TEXT NOT NULL, name TEXT NOT NULL, media_type TEXT NOT NULL,
        width INTEGER NOT NULL, height INTEGER NOT NULL, created_at REAL NOT NULL, data BLOB NOT NULL
    );
    CREATE INDEX files_of_conversation ON files (conversation_id);
    CREATE TABLE next_messages (
        id TEXT PRIMARY KEY, conversation_id TEXT NOT NULL, place INTEGER NOT NULL, after TEXT NOT NULL,
        content TEXT NOT NULL, model TEXT NOT NULL, priority INTEGER NOT NULL, files TEXT NOT NULL,
        created_at REAL NOT NULL
    );
    CREATE INDEX next_messages_of ON next_messages (conversation_id, place);
    """,
    # The shelf (``shelf.py``) and the index of what was said (``shelf_search.py``). Triggers keep that in step, whoever
    # changes a message. It has every three characters; with two more at the end the last one, too, begins such a three.
    # What leaves the table leaves the index's pages.
    """
    CREATE TABLE folders (id TEXT PRIMARY KEY, name TEXT NOT NULL, created_at REAL NOT NULL);
    CREATE TABLE placements (
        conversation_id TEXT PRIMARY KEY, folder_id TEXT NOT NULL, pinned_at REAL NOT NULL, archived_at REAL NOT NULL
    );
    CREATE TRIGGER placements_gone AFTER DELETE ON conversations BEGIN
        DELETE FROM placements WHERE conversation_id = old.id;
    END;
    CREATE TABLE searched (number INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT NOT NULL UNIQUE);
    CREATE VIEW searchable AS
        SELECT s.number AS number, m.content || char(10, 10) AS content
        FROM searched s JOIN messages m ON m.id = s.message_id WHERE m.content != '';
    CREATE VIRTUAL TABLE found USING fts5 (
        content, content = 'searchable', content_rowid = 'number', tokenize = 'trigram'
    );
    INSERT INTO found (found, rank) VALUES ('secure-delete', 1);
    INSERT INTO searched (message_id) SELECT m.id FROM messages m JOIN conversations c ON c.id = m.conversation_id
        WHERE c.origin = '' ORDER BY m.created_at, m.rowid;
    INSERT INTO found (rowid, content) SELECT number, content FROM searchable;
    CREATE TRIGGER searched_new AFTER INSERT ON messages
        WHEN (SELECT origin FROM conversations WHERE id = new.conversation_id) = '' BEGIN
        INSERT INTO searched (message_id) VALUES (new.id);
        INSERT INTO found (rowid, content)
            SELECT number, new.content || char(10, 10) FROM searched
            WHERE message_id = new.id AND new.content != '';
    END;
    CREATE TRIGGER searched_changed AFTER UPDATE OF content ON messages WHEN old.content IS NOT new.content BEGIN
        INSERT INTO found (found, rowid, content)
            SELECT 'delete', number, old.content || char(10, 10) FROM searched
            WHERE message_id = old.id AND old.content != '';
        INSERT INTO found (rowid, content)
            SELECT number, new.content || char(10, 10) FROM searched
            WHERE message_id = new.id AND new.content != '';
    END;
    CREATE TRIGGER searched_gone AFTER DELETE ON messages BEGIN
        INSERT INTO found (found, rowid, content)
            SELECT 'delete', number, old.content || char(10, 10) FROM searched
            WHERE message_id = old.id AND old.content != '';
        DELETE FROM searched WHERE message_id = old.id;
    END;
    """,
)
