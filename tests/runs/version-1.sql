BEGIN TRANSACTION;
CREATE TABLE changes (
        run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
        step INTEGER NOT NULL, setting TEXT NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY (run, step, setting)
    ) WITHOUT ROWID;
INSERT INTO "changes" VALUES(1,3,'optimizer.lr','0.5');
CREATE TABLE epochs (
        run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
        epoch INTEGER NOT NULL, step INTEGER NOT NULL,
        train_loss REAL, train_accuracy REAL, val_loss REAL, val_accuracy REAL,
        lr REAL NOT NULL, seconds REAL NOT NULL, steps_per_second REAL NOT NULL,
        PRIMARY KEY (run, epoch)
    ) WITHOUT ROWID;
INSERT INTO "epochs" VALUES(1,1,10,0.5,0.25,1.0,0.001,0.01,0.5,10.0);
INSERT INTO "epochs" VALUES(1,2,20,0.5,0.25,0.5,0.002,0.01,1.0,10.0);
INSERT INTO "epochs" VALUES(2,1,10,0.5,0.25,1.0,0.001,0.01,0.5,10.0);
INSERT INTO "epochs" VALUES(3,1,10,0.5,0.25,1.0,0.001,0.01,0.5,10.0);
INSERT INTO "epochs" VALUES(4,1,10,0.5,0.25,1.0,0.001,0.01,0.5,10.0);
INSERT INTO "epochs" VALUES(4,2,20,0.5,0.25,0.5,0.002,0.01,1.0,10.0);
CREATE TABLE losses (  -- of every step: float32, little endian, from step "first" (0 is the first step)
        run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
        "first" INTEGER NOT NULL,
        "values" BLOB NOT NULL,
        PRIMARY KEY (run, "first")
    );
INSERT INTO "losses" VALUES(1,0,X'07F2853ED5D3983E1971503F6D3EBC3D30A0193FF1823A3F2469403E6EE1613DC9C88C3E884D283FA4F00F3FECA9193EC881DD3E11572B3F3C77D83E5F18223FE2A9773F56DD2E3F0D83C83E23BF3F3E');
INSERT INTO "losses" VALUES(2,0,X'BE06033F9751733F949E133EB1DA723F5FA89F3E3FBED83E51E4533F8D82D13E2CB20C3FA6C3E13C');
INSERT INTO "losses" VALUES(3,0,X'BE06033F9751733F949E133EB1DA723F5FA89F3E3FBED83E51E4533F8D82D13E2CB20C3FA6C3E13C');
INSERT INTO "losses" VALUES(4,0,X'07F2853ED5D3983E1971503F6D3EBC3D30A0193FF1823A3F2469403E6EE1613DC9C88C3E884D283FA4F00F3FECA9193EC881DD3E11572B3F3C77D83E5F18223FE2A9773F56DD2E3F0D83C83E23BF3F3E');
CREATE TABLE runs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        format INTEGER NOT NULL,
        name TEXT NOT NULL,
        note TEXT NOT NULL DEFAULT '',
        tags TEXT NOT NULL DEFAULT '[]',
        recipe TEXT NOT NULL,
        environment TEXT NOT NULL,
        status TEXT NOT NULL,
        reason TEXT NOT NULL,
        failure TEXT,
        race INTEGER,
        parent INTEGER, parent_epoch INTEGER, parent_step INTEGER,
        created REAL NOT NULL,
        steps INTEGER NOT NULL,
        steps_per_epoch INTEGER NOT NULL,
        "offset" INTEGER NOT NULL,
        elapsed REAL NOT NULL,
        stepping REAL NOT NULL,
        last_epoch INTEGER NOT NULL,
        best_epoch INTEGER NOT NULL,
        size INTEGER NOT NULL DEFAULT 0,
        rewinds INTEGER NOT NULL DEFAULT 0,
        deleted REAL
    );
INSERT INTO "runs" VALUES(1,1,'alone','','[]','{"data":{"split_seed":0,"samples":200,"noise":0.1,"kind":"moons"},"model":{"kind":"mlp","widths":[8],"activation":{"kind":"relu"},"dropout":0.0,"batch_norm":false},"loss":{"kind":"cross-entropy","label_smoothing":0.0},"optimizer":{"lr":0.001,"beta1":0.9,"beta2":0.999,"eps":1e-8,"weight_decay":0.0,"kind":"adam"},"schedule":{"kind":"constant"},"augmentation":{"shift":0.0,"rotate":0.0,"scale":0.0,"shear":0.0},"epochs":3,"batch_size":32,"stop":{"accuracy":0.0,"patience":0,"minutes":0.0,"not_a_number":true},"seed":0,"device":"cpu","precision":"float32"}','{"python": "3.11.0", "torch": "2.0", "numpy": "1.26", "system": "Linux", "device": "x86_64"}','finished','',NULL,NULL,NULL,NULL,NULL,1700000000.5,20,0,0,2.5,0.0,2,2,0,0,NULL);
INSERT INTO "runs" VALUES(2,1,'Adam','','[]','{"data":{"split_seed":0,"samples":200,"noise":0.1,"kind":"moons"},"model":{"kind":"mlp","widths":[8],"activation":{"kind":"relu"},"dropout":0.0,"batch_norm":false},"loss":{"kind":"cross-entropy","label_smoothing":0.0},"optimizer":{"lr":0.001,"beta1":0.9,"beta2":0.999,"eps":1e-8,"weight_decay":0.0,"kind":"adam"},"schedule":{"kind":"constant"},"augmentation":{"shift":0.0,"rotate":0.0,"scale":0.0,"shear":0.0},"epochs":3,"batch_size":32,"stop":{"accuracy":0.0,"patience":0,"minutes":0.0,"not_a_number":true},"seed":0,"device":"cpu","precision":"float32"}','{"python": "3.11.0", "torch": "2.0", "numpy": "1.26", "system": "Linux", "device": "x86_64"}','finished','',NULL,2,NULL,NULL,NULL,1700000001.5,10,0,0,0.0,0.0,1,1,0,0,NULL);
INSERT INTO "runs" VALUES(3,1,'SGD, it''s "quoted"','a note','["try"]','{"data":{"split_seed":0,"samples":200,"noise":0.1,"kind":"moons"},"model":{"kind":"mlp","widths":[8],"activation":{"kind":"relu"},"dropout":0.0,"batch_norm":false},"loss":{"kind":"cross-entropy","label_smoothing":0.0},"optimizer":{"lr":0.001,"beta1":0.9,"beta2":0.999,"eps":1e-8,"weight_decay":0.0,"kind":"adam"},"schedule":{"kind":"constant"},"augmentation":{"shift":0.0,"rotate":0.0,"scale":0.0,"shear":0.0},"epochs":3,"batch_size":32,"stop":{"accuracy":0.0,"patience":0,"minutes":0.0,"not_a_number":true},"seed":0,"device":"cpu","precision":"float32"}','{"python": "3.11.0", "torch": "2.0", "numpy": "1.26", "system": "Linux", "device": "x86_64"}','failed','','{"text": "Broken.", "traceback": "Traceback"}',2,NULL,NULL,NULL,1700000002.5,10,0,0,0.0,0.0,1,1,0,0,NULL);
INSERT INTO "runs" VALUES(4,1,'branch','','[]','{"data":{"split_seed":0,"samples":200,"noise":0.1,"kind":"moons"},"model":{"kind":"mlp","widths":[8],"activation":{"kind":"relu"},"dropout":0.0,"batch_norm":false},"loss":{"kind":"cross-entropy","label_smoothing":0.0},"optimizer":{"lr":0.001,"beta1":0.9,"beta2":0.999,"eps":1e-8,"weight_decay":0.0,"kind":"adam"},"schedule":{"kind":"constant"},"augmentation":{"shift":0.0,"rotate":0.0,"scale":0.0,"shear":0.0},"epochs":3,"batch_size":32,"stop":{"accuracy":0.0,"patience":0,"minutes":0.0,"not_a_number":true},"seed":0,"device":"cpu","precision":"float32"}','{"python": "3.11.0", "torch": "2.0", "numpy": "1.26", "system": "Linux", "device": "x86_64"}','stopped','it was enough',NULL,NULL,1,1,10,1700000003.5,20,0,0,0.0,0.0,2,2,0,0,NULL);
INSERT INTO "runs" VALUES(5,1,'a','','[]','{"data":{"split_seed":0,"samples":200,"noise":0.1,"kind":"moons"},"model":{"kind":"mlp","widths":[8],"activation":{"kind":"relu"},"dropout":0.0,"batch_norm":false},"loss":{"kind":"cross-entropy","label_smoothing":0.0},"optimizer":{"lr":0.001,"beta1":0.9,"beta2":0.999,"eps":1e-8,"weight_decay":0.0,"kind":"adam"},"schedule":{"kind":"constant"},"augmentation":{"shift":0.0,"rotate":0.0,"scale":0.0,"shear":0.0},"epochs":3,"batch_size":32,"stop":{"accuracy":0.0,"patience":0,"minutes":0.0,"not_a_number":true},"seed":0,"device":"cpu","precision":"float32"}','{"python": "3.11.0", "torch": "2.0", "numpy": "1.26", "system": "Linux", "device": "x86_64"}','training','',NULL,5,NULL,NULL,NULL,1700000004.5,0,0,0,0.0,0.0,0,0,0,0,NULL);
INSERT INTO "runs" VALUES(6,1,'b','','[]','{"data":{"split_seed":0,"samples":200,"noise":0.1,"kind":"moons"},"model":{"kind":"mlp","widths":[8],"activation":{"kind":"relu"},"dropout":0.0,"batch_norm":false},"loss":{"kind":"cross-entropy","label_smoothing":0.0},"optimizer":{"lr":0.001,"beta1":0.9,"beta2":0.999,"eps":1e-8,"weight_decay":0.0,"kind":"adam"},"schedule":{"kind":"constant"},"augmentation":{"shift":0.0,"rotate":0.0,"scale":0.0,"shear":0.0},"epochs":3,"batch_size":32,"stop":{"accuracy":0.0,"patience":0,"minutes":0.0,"not_a_number":true},"seed":0,"device":"cpu","precision":"float32"}','{"python": "3.11.0", "torch": "2.0", "numpy": "1.26", "system": "Linux", "device": "x86_64"}','training','',NULL,5,NULL,NULL,NULL,1700000005.5,0,0,0,0.0,0.0,0,0,0,0,1.7955381829746303559e+09);
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "settings" VALUES('at_once','3');
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('runs',6);
COMMIT;
PRAGMA user_version = 1;
